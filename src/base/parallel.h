// The one thread pool. run(tasks, f) calls f(task) once for every task in [0, tasks) on all threads, the caller's
// included, and returns when all are done. What a task computes may depend on its number only, never on the thread that
// runs it: results are the same for any number of threads. Workers spin for a moment between two runs, then sleep.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace sigma {

class ThreadPool {
 public:
  // threads <= 0: one per processor this process may use.  Error: the system gives no more.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  int size() const;

  // f: void(int64_t task) or void(int64_t task, int thread), thread in [0, size()). f must not throw and must not call
  // run() of the same pool. One caller at a time.
  template <class F>
  void run(int64_t tasks, const F& f) {
    if constexpr (std::is_invocable_v<const F&, int64_t, int>) {
      run_erased(
          tasks, [](const void* g, int64_t task, int thread) { (*static_cast<const F*>(g))(task, thread); }, &f);
    } else {
      run_erased(
          tasks, [](const void* g, int64_t task, int) { (*static_cast<const F*>(g))(task); }, &f);
    }
  }

 private:
  using Call = void (*)(const void* f, int64_t task, int thread);
  void run_erased(int64_t tasks, Call call, const void* f);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sigma
