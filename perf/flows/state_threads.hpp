#pragma once

/// The State Threads library, of which servers are made. It has no channels: this one is made of its condition
/// variables. Nor can a thread of it give way, except by sleeping for no time.

#include <st.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

namespace perf {

struct state_threads {
  static constexpr char name[] = "state-threads";

  /// Holds one value.
  template <class T>
  class channel {
   public:
    channel() : has_room_(condition()), has_value_(condition()) {}
    ~channel() {
      st_cond_destroy(has_room_);
      st_cond_destroy(has_value_);
    }
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    void send(T value) {
      while (value_) st_cond_wait(has_room_);
      value_.emplace(std::move(value));
      st_cond_signal(has_value_);
    }
    T receive() {
      while (!value_) st_cond_wait(has_value_);
      T value = std::move(*value_);
      value_.reset();
      st_cond_signal(has_room_);
      return value;
    }

   private:
    static st_cond_t condition() {
      begin();
      return st_cond_new();
    }

    std::optional<T> value_;
    st_cond_t has_room_, has_value_;
  };

  template <class F>
  static void start(F f) {
    create(std::move(f), false);
  }
  static void yield() { st_usleep(0); }

  static void life(long& count) {
    st_thread_join(create([&count] { ++count; }, true), nullptr);
  }

 private:
  /// Before anything else of it.
  static void begin() {
    static const int failed = st_init();
    if (failed == 0) return;
    std::perror("stackless-perf: st_init");
    std::exit(1);
  }

  template <class F>
  static st_thread_t create(F f, bool joinable) {
    begin();
    const auto run = [](void* closure) -> void* {
      (*std::unique_ptr<F>(static_cast<F*>(closure)))();
      return nullptr;
    };
    const st_thread_t thread = st_thread_create(run, std::make_unique<F>(std::move(f)).release(), joinable, 0);
    if (thread != nullptr) return thread;
    std::perror("stackless-perf: st_thread_create");
    std::exit(1);
  }
};

}  // namespace perf
