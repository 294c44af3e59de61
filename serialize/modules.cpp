#include "serialize/modules.hpp"

#include <elf.h>
#include <link.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <memory>

STACKLESS_BEGIN
namespace snapshot {
namespace {

std::pmr::string program_path() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return {path, length > 0 ? static_cast<std::size_t>(length) : 0, scratch()};
}

std::span<const ElfW(Phdr)> headers(const dl_phdr_info& info) { return {info.dlpi_phdr, info.dlpi_phnum}; }

/// The GNU build-id among the notes of one segment; empty if it is not there.
std::span<const std::byte> build_id_note(std::span<const std::byte> notes) {
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes.data(), sizeof note);
    const auto padded = [](std::size_t n) { return (n + 3) / 4 * 4; };
    const std::size_t description = sizeof note + padded(note.n_namesz);
    const std::size_t end = description + padded(note.n_descsz);
    if (end > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(notes.data() + sizeof note, "GNU", 4) == 0) {
      return notes.subspan(description, note.n_descsz);
    }
    notes = notes.subspan(end);
  }
  return {};
}

std::pmr::vector<std::byte> identity(const dl_phdr_info& info) {
  const auto bytes_of = [&](const ElfW(Phdr) & header) {
    return std::span(reinterpret_cast<const std::byte*>(info.dlpi_addr + header.p_vaddr), header.p_memsz);
  };
  for (const auto& header : headers(info)) {
    if (header.p_type != PT_NOTE) continue;
    const auto id = build_id_note(bytes_of(header));
    if (!id.empty()) return {id.begin(), id.end(), scratch()};
  }
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  for (const auto& header : headers(info)) {
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) != 0 || (header.p_flags & PF_R) == 0) continue;
    XXH3_128bits_update(state.get(), bytes_of(header).data(), header.p_memsz);
  }
  XXH128_canonical_t hash;
  XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(state.get()));
  const auto bytes = std::as_bytes(std::span(hash.digest));
  return {bytes.begin(), bytes.end(), scratch()};
}

loaded_module describe(const dl_phdr_info& info, bool first) {
  loaded_module m;
  m.begin = m.writable = UINTPTR_MAX;
  std::uintptr_t read_only_from_now_on = 0;
  const std::uintptr_t page = static_cast<std::uintptr_t>(getpagesize());
  for (const auto& header : headers(info)) {
    if (header.p_type == PT_TLS) m.tls_size = header.p_memsz;
    const std::uintptr_t at = info.dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_GNU_RELRO) read_only_from_now_on = at + header.p_memsz;
    if (header.p_type != PT_LOAD) continue;
    m.begin = std::min(m.begin, at / page * page);
    if ((header.p_flags & PF_W) != 0) m.writable = std::min(m.writable, at);
    m.end = std::max(m.end, (at + header.p_memsz + page - 1) / page * page);
  }
  m.writable = std::max(m.writable, read_only_from_now_on);
  if (first) {
    m.path = program_path();
  } else {
    m.path = *info.dlpi_name != 0 ? info.dlpi_name : "[vdso]";
  }
  m.build_id = identity(info);
  return m;
}

std::uint64_t generation(const dl_phdr_info& info) { return info.dlpi_adds + info.dlpi_subs; }

}  // namespace

const loaded_modules::list* loaded_modules::newest() {
  // A list is kept for ever: it may be in use in another thread, and is asked for after the end of this one.
  static constinit std::atomic<const list*> cached = nullptr;
  std::uint64_t now = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        *static_cast<std::uint64_t*>(argument) = generation(*info);
        return 1;
      },
      &now);
  const list* known = cached.load(std::memory_order_acquire);
  if (known != nullptr && known->generation == now) return known;

  list* fresh = std::pmr::polymorphic_allocator<>(scratch()).new_object<list>();
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        auto& filled = *static_cast<list*>(argument);
        filled.generation = generation(*info);
        filled.modules.push_back(describe(*info, filled.modules.empty()));
        return 0;
      },
      fresh);
  for (const auto& m : fresh->modules) {
    fresh->low = std::min(fresh->low, m.begin);
    fresh->high = std::max(fresh->high, m.end);
  }
  cached.store(fresh, std::memory_order_release);
  return fresh;
}

loaded_modules::loaded_modules() {
  tls_.reserve(all().size());
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        static_cast<loaded_modules*>(argument)->tls_.push_back(reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data));
        return 0;
      },
      this);
  tls_.resize(all().size());
}

std::optional<std::uint32_t> loaded_modules::find(std::uintptr_t word) const {
  if (word - list_->low >= list_->high - list_->low) return std::nullopt;
  for (std::size_t i = 0; i != all().size(); ++i) {
    if (word - all()[i].begin < all()[i].size()) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> loaded_modules::find_tls(std::uintptr_t word) const {
  for (std::size_t i = 0; i != all().size(); ++i) {
    if (tls_[i] != 0 && word - tls_[i] < all()[i].tls_size) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> loaded_modules::find(std::span<const std::byte> build_id) const {
  for (std::size_t i = 0; i != all().size(); ++i) {
    if (std::ranges::equal(all()[i].build_id, build_id)) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

}  // namespace snapshot
STACKLESS_END
