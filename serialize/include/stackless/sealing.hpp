#pragma once

/// Snapshots that only who has the key can make, read or change. The optional component stackless::sealing,
/// which needs libsodium.
///
///   stackless::key::random().save("game.key");                 // once
///
///   const auto key = stackless::key::load("game.key");
///   stackless::dump(t, "t.snap", key);
///   stackless::load("t.snap", key).insert();                   // refuses what is not sealed with this key
///
/// Restoring a snapshot is running code. A seal says that this code was written by somebody who has the key,
/// and that is checked before anything else in the file is looked at. It does not say when: an old file is as
/// good as a new one.
///
/// Any thread may use a key at any time.

#include <cstddef>
#include <memory>
#include <span>
#include <stackless/snapshot.hpp>
#include <string>
#include <vector>

STACKLESS_BEGIN

/// 32 secret bytes. They lie in memory of their own, locked if the kernel permits it, and are part of no
/// snapshot: a tasklet that holds a key is refused, or comes back with an address that faults. Copies share the
/// bytes, and the last one wipes them. Where there is no memory for them, memory_error is thrown.
class key {
 public:
  static constexpr std::size_t size = 32;

  /// One that nobody else has.
  static key random();

  /// The key in a file of just these bytes, which only its owner may read or write. Throws snapshot_error:
  /// io; damaged if it has another length.
  static key load(const std::string& path);

  /// A key that is kept somewhere else. Wiping `bytes` is the caller's.
  explicit key(std::span<const std::byte, size> bytes);

  // There is no moving, and so no key without bytes.
  key(const key&) = default;
  key& operator=(const key&) = default;

  /// Writes such a file. One that is there already stays: what was sealed with the key in it would be lost.
  /// Throws snapshot_error{io}.
  void save(const std::string& path) const;

  std::span<const std::byte, size> bytes() const noexcept {
    return std::span<const std::byte, size>(bytes_.get(), size);
  }

 private:
  key();

  std::shared_ptr<std::byte> bytes_;
};

/// dump and dumps, sealed.
void dump(const tasklet& t, const std::string& path, const key& k);
std::vector<std::byte> dumps(const tasklet& t, const key& k);

/// load and loads of what was sealed with this key, and of nothing else. Throw snapshot_error: not_sealed,
/// wrong_key; damaged if a bit of it has changed; too_new; and then as they do.
tasklet load(const std::string& path, const key& k);
tasklet loads(std::span<const std::byte> bytes, const key& k);

/// Any bytes, encrypted and authenticated. Twice the same bytes are sealed differently.
std::vector<std::byte> seal(std::span<const std::byte> bytes, const key& k);

/// What was sealed. Throws snapshot_error: not_sealed, wrong_key, damaged, too_new.
std::vector<std::byte> unseal(std::span<const std::byte> bytes, const key& k);

STACKLESS_END
