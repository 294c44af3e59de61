#include "elf.hpp"

#include <fcntl.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "serialize/encoding.hpp"
#include "serialize/handover.hpp"

namespace cli {

namespace snapshot = stackless::snapshot;

namespace {

[[noreturn]] void fail(const std::string& path, int error) {
  throw unusable_file(path + " cannot be opened: " + std::generic_category().message(error));
}

int open_regular(const std::string& path) {
  const int place = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (place == -1) fail(path, errno);
  struct stat about;
  const bool regular = ::fstat(place, &about) == 0 && S_ISREG(about.st_mode);
  const int fd =
      regular ? ::open(("/proc/self/fd/" + std::to_string(place)).c_str(), O_RDONLY | O_CLOEXEC) : -1;
  const int error = errno;
  ::close(place);
  if (!regular) throw unusable_file(path + " is not a regular file");
  if (fd == -1) fail(path, error);
  return fd;
}

std::vector<GElf_Phdr> segments(Elf* elf, std::uint32_t type) {
  std::vector<GElf_Phdr> found;
  std::size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0) return found;
  for (std::size_t i = 0; i != count; ++i) {
    GElf_Phdr header;
    if (gelf_getphdr(elf, static_cast<int>(i), &header) != nullptr && header.p_type == type)
      found.push_back(header);
  }
  return found;
}

}  // namespace

void elf_file::closed::operator()(Elf* elf) const {
  elf_end(elf);
}

elf_file::elf_file(const std::string& path) : fd_(open_regular(path)) {
  elf_version(EV_CURRENT);
  elf_.reset(elf_begin(fd_, ELF_C_READ, nullptr));
  if (elf_kind(elf_.get()) != ELF_K_ELF || gelf_getclass(elf_.get()) != ELFCLASS64) {
    ::close(fd_);
    throw unusable_file(path + " is not a 64-bit ELF file");
  }
}

elf_file::~elf_file() {
  elf_.reset();
  ::close(fd_);
}

std::optional<snapshot::machine> elf_file::machine() const {
  GElf_Ehdr header;
  if (gelf_getehdr(elf_.get(), &header) == nullptr || header.e_ident[EI_DATA] != ELFDATA2LSB)
    return std::nullopt;
  if (header.e_machine == EM_X86_64) return snapshot::machine::x86_64;
  if (header.e_machine == EM_AARCH64) return snapshot::machine::aarch64;
  return std::nullopt;
}

std::optional<std::vector<std::byte>> elf_file::note(std::string_view owner, std::uint32_t type) const {
  for (const GElf_Phdr& segment : segments(elf_.get(), PT_NOTE)) {
    Elf_Data* const notes =
        elf_getdata_rawchunk(elf_.get(), static_cast<std::int64_t>(segment.p_offset), segment.p_filesz,
                             segment.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (notes == nullptr) continue;
    GElf_Nhdr header;
    std::size_t name, description;
    for (std::size_t at = 0; (at = gelf_getnote(notes, at, &header, &name, &description)) != 0;) {
      const auto* const bytes = static_cast<const std::byte*>(notes->d_buf);
      // The name counts its terminating zero.
      if (header.n_type != type || header.n_namesz != owner.size() + 1) continue;
      if (std::memcmp(bytes + name, owner.data(), owner.size()) != 0 ||
          bytes[name + owner.size()] != std::byte{0})
        continue;
      return std::vector(bytes + description, bytes + description + header.n_descsz);
    }
  }
  return std::nullopt;
}

std::vector<std::byte> elf_file::build_id() const {
  if (auto id = note(ELF_NOTE_GNU, NT_GNU_BUILD_ID); id && !id->empty()) return *std::move(id);
  std::vector<std::byte> constant;
  for (const GElf_Phdr& segment : segments(elf_.get(), PT_LOAD)) {
    if ((segment.p_flags & PF_W) != 0 || (segment.p_flags & PF_R) == 0) continue;
    const Elf_Data* const data = elf_getdata_rawchunk(elf_.get(), static_cast<std::int64_t>(segment.p_offset),
                                                      segment.p_filesz, ELF_T_BYTE);
    if (data == nullptr) continue;
    const auto* const bytes = static_cast<const std::byte*>(data->d_buf);
    constant.insert(constant.end(), bytes, bytes + data->d_size);
  }
  const auto digest = snapshot::digest_of(constant);
  return {digest.begin(), digest.end()};
}

bool elf_file::calls_start() const {
  const auto protocol = note(snapshot::handover::note_owner, snapshot::handover::note_type);
  return protocol && protocol->size() == sizeof snapshot::handover::version &&
         snapshot::load<std::uint32_t>(protocol->data()) == snapshot::handover::version;
}

std::uint64_t elf_file::base() const {
  std::uint64_t lowest = UINT64_MAX;
  for (const GElf_Phdr& segment : segments(elf_.get(), PT_LOAD)) lowest = std::min(lowest, segment.p_vaddr);
  constexpr std::uint64_t page = 4096;
  return lowest / page * page;
}

}  // namespace cli
