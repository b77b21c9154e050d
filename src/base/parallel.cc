#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "base/error.h"

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

// A run is published as a ticket: its number in the upper half, the tasks nobody has taken yet in the lower. A thread
// takes one by counting the ticket down, which fails once another run has begun; so run() need not wait for workers
// that came too late (or have no processor), only for tasks that are being worked on.
struct ThreadPool::State {
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int64_t> finished{0};  // tasks of this run
  alignas(64) std::atomic<uint32_t> epoch{0};    // changes with every run: what workers sleep on
  alignas(64) int64_t tasks = 0;  // of this run, as are call and f; stable while one of its tasks is taken
  Call call = nullptr;
  const void* f = nullptr;
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;

  ~State() {
    stop = true;
    epoch.fetch_add(1, std::memory_order_release);
    epoch.notify_all();
    for (std::thread& one : workers) one.join();
  }

  // Works until no task of this run is left.
  void work(int thread) {
    int64_t done = 0;
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(seen) != 0) {
      if (!ticket.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire)) continue;
      call(f, tasks - static_cast<uint32_t>(seen), thread);
      ++done;
      --seen;
    }
    if (done != 0) finished.fetch_add(done, std::memory_order_release);
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
      seen = epoch.load(std::memory_order_acquire);
      if (stop) return;
      work(thread);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = usable_processors();
  try {
    for (int i = 1; i < threads; ++i) state_->workers.emplace_back([s = state_.get(), i] { s->worker(i); });
  } catch (const std::system_error& e) {
    throw Error("threads", fmt::format("{} threads", threads), fmt::format("{}: {}", size(), e.code().message()));
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::size() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run_erased(int64_t tasks, Call call, const void* f) {
  State& s = *state_;
  if (tasks <= 1 || s.workers.empty()) {
    for (int64_t task = 0; task < tasks; ++task) call(f, task, 0);
    return;
  }
  SIGMA_CHECK_LT(tasks, int64_t{1} << 32);
  s.tasks = tasks;
  s.call = call;
  s.f = f;
  s.finished.store(0, std::memory_order_relaxed);
  const uint64_t run = (s.ticket.load(std::memory_order_relaxed) >> 32) + 1;
  s.ticket.store(run << 32 | static_cast<uint64_t>(tasks), std::memory_order_release);
  s.epoch.fetch_add(1, std::memory_order_release);
  s.epoch.notify_all();
  s.work(0);
  for (int spins = 0; s.finished.load(std::memory_order_acquire) != tasks; ++spins) {
    pause_briefly();
    if (spins > 4096) std::this_thread::yield();  // a worker lost its processor
  }
}

}  // namespace sigma
