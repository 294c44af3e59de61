#include <stackless/sealing.hpp>

#include <sodium.h>

#include <algorithm>
#include <cstdint>
#include <stackless/memory_error.hpp>
#include <stdexcept>
#include <utility>

#include "serialize/encoding.hpp"
#include "serialize/file.hpp"
#include "serialize/format.hpp"
#include "serialize/frame.hpp"
#include "serialize/scratch.hpp"
#include "serialize/whole.hpp"

STACKLESS_BEGIN
namespace {

namespace header = snapshot::sealed_header;
using snapshot::digest;
using kind = snapshot_error::kind;

constexpr std::size_t tag_size = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t nonce_size = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
static_assert(key::size == crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
              header::nonce_at + nonce_size == header::size && tag_size == 16);

/// Makes the key's name another one than that of the same bytes in any other use.
constexpr unsigned char purpose[crypto_generichash_blake2b_PERSONALBYTES + 1] = "stackless key id";

unsigned char* chars(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* chars(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

/// Before any other call of libsodium.
void start_sodium() {
  static const int started = sodium_init();
  if (started == -1) throw std::runtime_error("libsodium cannot be initialized");
}

digest id_of(const key& k) {
  digest id;
  crypto_generichash_blake2b_salt_personal(chars(id.data()), id.size(), chars(k.bytes().data()), key::size,
                                           nullptr, 0, nullptr, purpose);
  return id;
}

/// `out` is empty; what it allocates from is the caller's choice.
template <class Bytes>
Bytes sealed(std::span<const std::byte> plain, const key& k, Bytes out) {
  out.resize(header::size + plain.size() + tag_size);
  std::byte* const begin = out.data();
  snapshot::store(begin, snapshot::sealed_magic);
  snapshot::store(begin + header::version_at, snapshot::sealed_version);
  snapshot::store(begin + header::size_at, std::uint64_t{out.size()});
  snapshot::store(begin + header::key_id_at, id_of(k));
  randombytes_buf(begin + header::nonce_at, nonce_size);
  crypto_aead_xchacha20poly1305_ietf_encrypt(chars(begin + header::size), nullptr, chars(plain.data()),
                                             plain.size(), chars(begin), header::size, nullptr,
                                             chars(begin + header::nonce_at), chars(k.bytes().data()));
  return out;
}

void check_header(std::span<const std::byte> bytes, const key& k, std::string_view file) {
  if (!snapshot::begins_with(bytes, snapshot::sealed_magic)) {
    auto about = snapshot::failure(file, bytes.empty() ? "not sealed: it is empty" : "not sealed");
    about.hint = "only what was sealed with the key is taken here";
    throw snapshot_error(kind::not_sealed, std::move(about));
  }
  snapshot::check_least(bytes.size(), header::size + tag_size, file);

  const auto version = snapshot::load<std::uint64_t>(bytes.data() + header::version_at);
  if (version == 0) snapshot::refuse_as_damaged(file, "no writer seals in format 0");
  if (version > snapshot::sealed_version)
    snapshot::refuse_as_too_new(snapshot::failure(file, "sealed in format " + std::to_string(version) +
                                                            "; this reader knows format " +
                                                            std::to_string(snapshot::sealed_version)));
  snapshot::check_size(bytes.size(), snapshot::load<std::uint64_t>(bytes.data() + header::size_at), file);

  const auto needed = snapshot::load<digest>(bytes.data() + header::key_id_at);
  if (const digest given = id_of(k); given != needed) {
    auto about = snapshot::failure(file, "sealed with another key");
    about.expected = snapshot::hexadecimal(needed);
    about.found = snapshot::hexadecimal(given);
    throw snapshot_error(kind::wrong_key, std::move(about));
  }
}

/// Of `sealed`.
template <class Bytes>
Bytes unsealed(std::span<const std::byte> bytes, const key& k, std::string_view file, Bytes out) {
  check_header(bytes, k, file);
  const auto body = bytes.subspan(header::size);
  out.resize(body.size() - tag_size);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          chars(out.data()), nullptr, nullptr, chars(body.data()), body.size(), chars(bytes.data()),
          header::size, chars(bytes.data() + header::nonce_at), chars(k.bytes().data())) != 0)
    snapshot::refuse_as_damaged(file, "authentication failed: this is not what was sealed with the key");
  return out;
}

std::pmr::vector<std::byte> scratch_bytes() {
  return std::pmr::vector<std::byte>(snapshot::scratch());
}

}  // namespace

key::key() {
  start_sodium();
  bytes_ = std::shared_ptr<std::byte>(static_cast<std::byte*>(sodium_malloc(size)), sodium_free);
  if (bytes_ == nullptr) throw memory_error("out of memory: no protected page for a key of %zu bytes", size);
}

key::key(std::span<const std::byte, size> bytes) : key() {
  std::copy(bytes.begin(), bytes.end(), bytes_.get());
}

key key::random() {
  const key fresh;
  randombytes_buf(fresh.bytes_.get(), size);
  return fresh;
}

key key::load(const std::string& path) {
  const key loaded;
  auto bytes = snapshot::read_private_file(path);
  const std::size_t length = bytes.size();
  if (length == size) std::copy(bytes.begin(), bytes.end(), loaded.bytes_.get());
  sodium_memzero(bytes.data(), length);
  if (length != size)
    snapshot::refuse_as_damaged(
        path, "not a key: it has " + std::to_string(length) + " bytes, a key has " + std::to_string(size));
  return loaded;
}

void key::save(const std::string& path) const {
  snapshot::write_new_file(path, bytes());
}

void dump(const tasklet& t, const std::string& path, const key& k) {
  snapshot::write_file(path, sealed(snapshot::bytes_of(t, path), k, scratch_bytes()));
}

std::vector<std::byte> dumps(const tasklet& t, const key& k) {
  return seal(snapshot::bytes_of(t, snapshot::in_memory), k);
}

tasklet load(const std::string& path, const key& k) {
  return snapshot::from_bytes(unsealed(snapshot::read_file(path), k, path, scratch_bytes()), path);
}

tasklet loads(std::span<const std::byte> bytes, const key& k) {
  return snapshot::from_bytes(unsealed(bytes, k, snapshot::in_memory, scratch_bytes()), snapshot::in_memory);
}

std::vector<std::byte> seal(std::span<const std::byte> bytes, const key& k) {
  return sealed(bytes, k, std::vector<std::byte>());
}

std::vector<std::byte> unseal(std::span<const std::byte> bytes, const key& k) {
  return unsealed(bytes, k, snapshot::in_memory, std::vector<std::byte>());
}

STACKLESS_END
