#pragma once

/// The groups of rows. Each function adds those of its group that belong to the stage.

namespace perf {

/// A process that has started a thread once pays for locks that it did without before, in the library and in glibc:
/// rows that start threads run after all others.
enum class stage { one_thread, several_threads };

struct plan {
  perf::stage stage;
  /// Each row but once, and the long ones with less to do: does it work at all?
  bool smoke;
};

void add_limits(const plan&);
void add_switch(const plan&);
void add_yield(const plan&);
void add_channel(const plan&);
void add_spawn(const plan&);
void add_sliced(const plan&);
void add_memory(const plan&);
void add_snapshot(const plan&);
void add_workloads(const plan&);
void add_threads(const plan&);
void add_allocation(const plan&);

inline void add_all(const plan& p) {
  add_limits(p);
  add_switch(p);
  add_yield(p);
  add_channel(p);
  add_spawn(p);
  add_sliced(p);
  add_memory(p);
  add_snapshot(p);
  add_workloads(p);
  add_threads(p);
  add_allocation(p);
}

}  // namespace perf
