#pragma once

/// Which threads of the process could still do something, for those who wait for others to tell a wait from a deadlock.

#include <stackless/config.hpp>

STACKLESS_BEGIN
namespace census {

/// Some other thread could still do something: it does not wait for mail itself.
bool others_are_active() noexcept;

/// Who else is active.
enum class activity {
  none,
  of_strangers,  ///< threads that do not use the library; when they end nobody is told
  of_members,
};

/// The calling thread is about to wait for mail.
activity begin_waiting() noexcept;
void end_waiting() noexcept;

/// The calling thread begins to use the library; it is about to end, and does nothing any more.
void join() noexcept;
void leave() noexcept;

/// In a child of fork, with all locks held: there is the calling thread alone.
void begin_anew(bool is_member) noexcept;

}  // namespace census
STACKLESS_END
