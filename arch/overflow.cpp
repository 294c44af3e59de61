#include "arch/overflow.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>

#include "arch/fork.hpp"
#include "arch/guard.hpp"
#include "arch/lock.hpp"

STACKLESS_BEGIN
namespace arch::overflow {
namespace {

constexpr bool left_to_sanitizer = STACKLESS_ASAN || STACKLESS_TSAN;

constinit spin_lock setting_lock;
constinit std::atomic<witness> told = nullptr;
constinit bool installed = false;  ///< somebody else may have SIGSEGV by now, and pass it on to the handler
constinit struct sigaction before = {};  ///< who had SIGSEGV; written only while the handler is not installed
const fork_hook at_fork(fork_level::metadata, hold<setting_lock>, release<setting_lock>);

bool is_default(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL;
}

bool is_ignored(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
}

void set_default() noexcept {
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  sigaction(SIGSEGV, &by_default, nullptr);
}

/// What would have happened without the handler.
void pass_on(int signal, siginfo_t* info, void* context, bool is_fault) {
  if (is_default(before) || is_ignored(before)) {
    if (!is_fault && is_ignored(before)) return;
    set_default();
    if (!is_fault) raise(signal);  // after the return; a fault happens again by itself
    return;
  }
  if ((before.sa_flags & SA_RESETHAND) != 0) set_default();
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(signal, info, context);
  } else {
    before.sa_handler(signal);
  }
}

void handle(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool is_fault = info->si_code > 0;  // else somebody has sent it
  const witness w = told.load(std::memory_order_acquire);
  if (is_fault && w != nullptr) w(info->si_addr);
  pass_on(signal, info, context, is_fault);
  errno = error;
}

bool is_ours(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == handle;
}

/// Puts the handler before `present`, on whose terms it runs.
void install(const struct sigaction& present) noexcept {
  before = present;
  struct sigaction ours = {};
  ours.sa_sigaction = handle;
  ours.sa_mask = present.sa_mask;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (present.sa_flags & (SA_NODEFER | SA_RESTART));
  sigaction(SIGSEGV, &ours, nullptr);
  installed = true;
}

bool has_alternate_stack() noexcept {
  stack_t present = {};
  return sigaltstack(nullptr, &present) == 0 && (present.ss_flags & SS_DISABLE) == 0;
}

/// The kernel's part of a signal's frame depends on the CPU's registers; the handlers need some pages.
std::size_t alternate_stack_size() noexcept {
  return std::max(static_cast<std::size_t>(sysconf(_SC_SIGSTKSZ)), std::size_t{64} << 10);
}

/// An alternate stack with a guard below, for as long as its thread.
class alternate_stack {
 public:
  alternate_stack() noexcept {
    if (has_alternate_stack()) return;
    const std::size_t guard = guard::page_size();
    const std::size_t size = (alternate_stack_size() + guard - 1) / guard * guard;
    void* const memory = mmap(nullptr, guard + size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    stack_t ours = {};
    ours.ss_sp = static_cast<std::byte*>(memory) + guard;
    ours.ss_size = size;
    if (mprotect(ours.ss_sp, size, PROT_READ | PROT_WRITE) != 0 || sigaltstack(&ours, nullptr) != 0) {
      munmap(memory, guard + size);
      return;
    }
    memory_ = memory;
    stack_ = ours;
  }

  ~alternate_stack() {
    if (memory_ == nullptr) return;
    stack_t present = {};
    sigaltstack(nullptr, &present);
    if (present.ss_sp == stack_.ss_sp) {
      stack_t none = {};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    }
    munmap(memory_, static_cast<std::size_t>(static_cast<std::byte*>(stack_.ss_sp) + stack_.ss_size -
                                             static_cast<std::byte*>(memory_)));
  }

  alternate_stack(const alternate_stack&) = delete;
  alternate_stack& operator=(const alternate_stack&) = delete;

 private:
  void* memory_ = nullptr;
  stack_t stack_ = {};
};

}  // namespace

void watch(witness w) noexcept {
  if (left_to_sanitizer) return;
  const locked hold(setting_lock);
  struct sigaction present = {};
  sigaction(SIGSEGV, nullptr, &present);
  told.store(w, std::memory_order_release);
  // One who came later may call this handler, which must not call him then.
  if (!installed || is_default(present)) install(present);
}

void watch_unless_handled(witness w) noexcept {
  if (left_to_sanitizer || watches()) return;
  const locked hold(setting_lock);
  struct sigaction present = {};
  sigaction(SIGSEGV, nullptr, &present);
  if (!is_default(present) || has_alternate_stack()) return;
  told.store(w, std::memory_order_release);
  install(present);
}

void stop_watching() noexcept {
  const locked hold(setting_lock);
  struct sigaction present = {};
  sigaction(SIGSEGV, nullptr, &present);
  if (is_ours(present)) {
    sigaction(SIGSEGV, &before, nullptr);
    installed = false;
  }
  told.store(nullptr, std::memory_order_relaxed);
}

bool watches() noexcept { return told.load(std::memory_order_relaxed) != nullptr; }

void provide_alternate_stack() noexcept {
  if (left_to_sanitizer) return;
  thread_local const alternate_stack until_the_thread_ends;
}

}  // namespace arch::overflow
STACKLESS_END
