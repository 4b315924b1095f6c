#pragma once
// Waiting for a moment without parking the thread.

namespace millrace {

/// Lets the core's other thread run, or saves power, for some tens of cycles.
inline void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Looks again and again whether done(), for about as long as parking a thread and waking it would
/// take (some 30 us on a virtual machine): who parks after that has waited twice as long as need be
/// at the most, and who waits for less has saved the wake-up. True where done() was.
template <typename Done>
bool spin_until(const Done& done) {
  constexpr int kLooks = 1000;
  for (int look = 0; look < kLooks; ++look) {
    if (done()) return true;
    pause_core();
  }
  return false;
}

}  // namespace millrace
