// A program that uses the library and throws. Succeeds if its exceptions, and those of libstdc++ on its
// behalf, are raised by libgcc's unwinder.

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <stackless/scheduler.hpp>
#include <stackless/tasklet.hpp>
#include <stdexcept>

int main() {
  bool caught = false;
  stackless::tasklet([] { throw std::runtime_error("through the tasklet's end"); });
  try {
    stackless::run();
  } catch (const std::runtime_error&) {
    caught = true;
  }
  // The search order of the program as a whole: what libstdc++ calls is bound by it.
  void* const raise = dlsym(RTLD_DEFAULT, "_Unwind_RaiseException");
  Dl_info object = {};
  if (raise == nullptr || dladdr(raise, &object) == 0) return 1;
  std::printf("_Unwind_RaiseException is of %s\n", object.dli_fname);
  return caught && std::strstr(object.dli_fname, "libgcc_s") != nullptr ? 0 : 1;
}
