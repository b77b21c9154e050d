#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace sigma {

namespace {

// Between two runs of one decode step a few microseconds pass; longer than this and the processor is given back.
constexpr std::chrono::microseconds kSpin{100};

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

struct ThreadPool::State {
  // epoch: bumped by run() when a job is ready; running: workers still inside the current job.
  alignas(64) std::atomic<uint32_t> epoch{0};
  alignas(64) std::atomic<int> running{0};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) int64_t tasks = 0;
  Call call = nullptr;
  const void* f = nullptr;
  bool stop = false;
  std::vector<std::thread> workers;

  void work(int thread) {
    for (int64_t task = next.fetch_add(1, std::memory_order_relaxed); task < tasks;
         task = next.fetch_add(1, std::memory_order_relaxed))
      call(f, task, thread);
  }

  void wait_for_change(uint32_t seen) {
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    for (;;) {
      for (int i = 0; i < 64; ++i) {
        if (epoch.load(std::memory_order_acquire) != seen) return;
        pause_briefly();
      }
      if (std::chrono::steady_clock::now() > deadline) break;
    }
    epoch.wait(seen, std::memory_order_acquire);
  }

  void worker(int thread) {
    uint32_t seen = 0;
    for (;;) {
      wait_for_change(seen);
      ++seen;
      if (stop) return;
      work(thread);
      running.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = usable_processors();
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([s = state_.get(), i] { s->worker(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop = true;
  state_->epoch.fetch_add(1, std::memory_order_release);
  state_->epoch.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::size() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run_erased(int64_t tasks, Call call, const void* f) {
  State& s = *state_;
  if (tasks <= 1 || s.workers.empty()) {
    for (int64_t task = 0; task < tasks; ++task) call(f, task, 0);
    return;
  }
  s.tasks = tasks;
  s.call = call;
  s.f = f;
  s.next.store(0, std::memory_order_relaxed);
  s.running.store(static_cast<int>(s.workers.size()), std::memory_order_relaxed);
  s.epoch.fetch_add(1, std::memory_order_release);
  s.epoch.notify_all();
  s.work(0);
  for (int spins = 0; s.running.load(std::memory_order_acquire) != 0; ++spins) {
    pause_briefly();
    if (spins > 4096) std::this_thread::yield();  // a worker lost its processor
  }
}

}  // namespace sigma
