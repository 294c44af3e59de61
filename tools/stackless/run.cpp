#include "commands.hpp"
#include "execute.hpp"

namespace cli {

void run(const std::vector<std::string>& command) {
  execute(command);
}

}  // namespace cli
