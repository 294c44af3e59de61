#pragma once

/// Threads of the system, for scale. They stay on the core of whoever starts them.

#include <semaphore>
#include <thread>

namespace perf {

struct threads {
  static constexpr char name[] = "std::thread";

  template <class Calls>
  class partner {
   public:
    partner() = default;
    ~partner() {
      stop_ = true;
      there_.release();
      thread_.join();
    }
    partner(const partner&) = delete;
    partner& operator=(const partner&) = delete;

    void resume() {
      there_.release();
      here_.acquire();
    }
    long count() const { return count_; }

   private:
    void run() {
      there_.acquire();
      while (!stop_) {
        ++count_;
        Calls::call([&] {
          here_.release();
          there_.acquire();
        });
      }
    }

    std::binary_semaphore here_{0}, there_{0};
    bool stop_ = false;
    long count_ = 0;
    std::thread thread_{[this] { run(); }};
  };

  static void life(long& count) {
    std::thread([&count] { ++count; }).join();
  }
};

}  // namespace perf
