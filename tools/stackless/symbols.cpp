#include "symbols.hpp"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "elf.hpp"
#include "serialize/encoding.hpp"
#include "text.hpp"

namespace cli {

namespace snapshot = stackless::snapshot;

namespace {

std::string demangled(const char* symbol) {
  int status;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  return text != nullptr ? text.get() : symbol;
}

// Names are wanted, nothing finer: no separate debug information is searched, on disk or in the network.
const Dwfl_Callbacks symbol_tables_only = {
    .find_elf = nullptr,
    .find_debuginfo = [](Dwfl_Module*, void**, const char*, Dwarf_Addr, const char*, const char*, GElf_Word,
                         char**) { return -1; },
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = nullptr,
};

}  // namespace

class symbols::table {
 public:
  /// Throws unusable_file if it is not the file of `m`.
  explicit table(const snapshot::module& m) {
    const std::string path(m.path);
    if (path[0] != '/') throw unusable_file(path + " is not a file");
    const elf_file file(path);
    if (!std::ranges::equal(file.build_id(), m.build_id)) throw unusable_file(path + " is another build");
    const int fd = ::dup(file.descriptor());
    module_ = dwfl_report_offline(session_.get(), path.c_str(), path.c_str(), fd);
    if (module_ == nullptr) {
      ::close(fd);
      throw unusable_file(path + " cannot be read: " + dwfl_errmsg(-1));
    }
    dwfl_report_end(session_.get(), nullptr, nullptr);
    GElf_Addr bias = 0;
    dwfl_module_getelf(module_, &bias);
    begin_ = bias + file.base();
  }

  struct found {
    std::string name;
    std::uint64_t offset;
  };

  std::optional<found> find(std::uint64_t module_offset) const {
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char* const name =
        dwfl_module_addrinfo(module_, begin_ + module_offset, &offset, &symbol, nullptr, nullptr, nullptr);
    if (name == nullptr) return std::nullopt;
    return found{demangled(name), offset};
  }

 private:
  std::unique_ptr<Dwfl, decltype(&dwfl_end)> session_{dwfl_begin(&symbol_tables_only), &dwfl_end};
  Dwfl_Module* module_ = nullptr;
  std::uint64_t begin_ = 0;
};

symbols::symbols(const snapshot::image& image) : image_(image), tables_(image.modules.size()) {}
symbols::~symbols() = default;

symbols::table* symbols::table_of(std::uint32_t module) {
  auto& slot = tables_[module];
  if (!slot) {
    try {
      slot = std::make_unique<table>(image_.modules[module]);
    } catch (const unusable_file& e) {
      slot = nullptr;
      std::fprintf(stderr, "stackless: note: no names for addresses: %s\n", printable(e.what()).c_str());
    }
  }
  return slot->get();
}

std::string symbols::describe(const snapshot::value& word, std::uint64_t back) {
  const std::string_view path = image_.modules[word.index].path;
  const std::string module = printable(path.substr(path.rfind('/') + 1));
  const table* const names = table_of(word.index);
  const auto found = names != nullptr && word.number >= back ? names->find(word.number - back) : std::nullopt;
  if (!found) return text("%s+0x%llx", module.c_str(), static_cast<unsigned long long>(word.number));
  const std::uint64_t offset = found->offset + back;
  const std::string symbol = printable(found->name);
  return symbol + (offset != 0 ? '+' + snapshot::hexadecimal(offset) : "") + " (" + module + ')';
}

}  // namespace cli
