#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <stackless/snapshot_error.hpp>

#include "commands.hpp"
#include "execute.hpp"
#include "serialize/exit_status.hpp"
#include "text.hpp"

namespace {

constexpr int failed = 1;
constexpr int misused = 2;
constexpr int not_started = 125;

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot write to the standard output");
}

int report(const char* what, int status) {
  std::fprintf(stderr, "stackless: error: %s\n", cli::printable(what).c_str());
  return status;
}

int dispatch(int argc, char** argv) {
  CLI::App app;
  // At most one: a program or a file may be named like a command.
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", "stackless " STACKLESS_VERSION);

  std::string file, program, topic;
  bool json = false;
  // All that follows the program is the program's.
  CLI::App* const run = app.add_subcommand("run")->prefix_command();
  CLI::App* const resume = app.add_subcommand("resume");
  resume->add_option("FILE", file)->required();
  resume->add_option("--program", program);
  CLI::App* const inspect = app.add_subcommand("inspect");
  inspect->add_option("FILE", file)->required();
  inspect->add_flag("--json", json);
  CLI::App* const help = app.add_subcommand("help");
  help->add_option("COMMAND", topic);

  const auto chosen = [&] {
    const auto parsed = app.get_subcommands();
    return parsed.empty() ? std::string() : parsed.front()->get_name();
  };
  try {
    // Last argument first, as CLI11 wants it; given argv it would put the path of the command into messages.
    app.parse(std::vector<std::string>(std::reverse_iterator(argv + argc), std::reverse_iterator(argv + 1)));
    if (chosen().empty()) throw CLI::RequiredError("COMMAND");
    if (*run) {
      const auto command = run->remaining();
      if (command.empty()) throw CLI::RequiredError("PROGRAM");
      if (command.front().starts_with('-')) throw CLI::ExtrasError({command.front()});
      cli::run(command);
    }
    if (*help && cli::help(topic).empty()) throw CLI::ValidationError("no such command: " + topic);
  } catch (const CLI::CallForHelp&) {
    print(cli::help(chosen()));
    return 0;
  } catch (const CLI::CallForVersion& version) {
    print(version.what() + std::string("\n"));
    return 0;
  } catch (const CLI::ParseError& e) {
    const std::string command = chosen();
    const std::string see = command.empty() ? "stackless help" : "stackless help " + command;
    return report((e.what() + (" (see `" + see + "`)")).c_str(), misused);
  }
  if (*resume) cli::resume(file, program);
  if (*inspect)
    print(json ? cli::inspect_as_json(file) : cli::inspect(file));
  else
    print(cli::help(topic));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return dispatch(argc, argv);
  } catch (const stackless::snapshot_error& e) {
    return report(e.what(), stackless::snapshot::exit_status(e.reason()));
  } catch (const cli::cannot_start& e) {
    return report(e.what(), not_started);
  } catch (const std::exception& e) {
    return report(e.what(), failed);
  }
}
