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

// Processors may lie far apart, where a cache line takes a fraction of a microsecond from one to the other; so a run is
// announced to a worker in one line of its own, with everything it needs to begin. Of a run's tasks the first belongs
// to the caller and one to each worker; the rest is for whoever comes. A worker takes its own by setting kTaken; so
// does the caller with one that is left when all else is done: run() need not wait for workers that came too late (or
// have no processor), only for tasks that are being worked on.
struct ThreadPool::State {
  static constexpr uint32_t kTaken = 1, kNextRun = 2;

  struct Worker {
    alignas(64) std::atomic<uint32_t> run{0};  // changes with every run; what the worker sleeps on
    Call call = nullptr;                       // null: the end. Stable, as what follows, while its task is taken
    const void* f = nullptr;
    int64_t tasks = 0;
    alignas(64) std::atomic<uint32_t> finished{0};  // `run` without kTaken, of the last run that it took part in
    std::thread thread;
  };

  alignas(64) std::atomic<int64_t> next{0};  // task that belongs to nobody
  uint32_t run = 0;
  std::vector<Worker> workers;
  size_t started = 0;

  explicit State(size_t count) : workers(count) {}
  ~State() {
    for (size_t i = 0; i < started; ++i) announce(workers[i], nullptr, nullptr, 0, run + kNextRun);
    for (size_t i = 0; i < started; ++i) workers[i].thread.join();
  }

  static void announce(Worker& worker, Call call, const void* f, int64_t tasks, uint32_t run) {
    worker.call = call;
    worker.f = f;
    worker.tasks = tasks;
    worker.run.store(run, std::memory_order_release);
    worker.run.notify_one();
  }
  static bool take(Worker& worker, uint32_t run) {
    return worker.run.compare_exchange_strong(run, run | kTaken, std::memory_order_acquire, std::memory_order_relaxed);
  }

  void work(const void* f, Call call, int64_t tasks, int64_t own, int thread) {
    for (int64_t task = own; task < tasks; task = next.fetch_add(1, std::memory_order_relaxed)) call(f, task, thread);
  }

  static uint32_t wait_for_change(const Worker& worker, uint32_t seen) {
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    for (;;) {
      for (int i = 0; i < 64; ++i) {
        const uint32_t now = worker.run.load(std::memory_order_acquire);
        if (now != seen) return now;
        pause_briefly();
      }
      if (std::chrono::steady_clock::now() > deadline) break;
    }
    worker.run.wait(seen, std::memory_order_acquire);
    return worker.run.load(std::memory_order_acquire);
  }

  void serve(Worker& worker, int index) {
    uint32_t seen = 0;
    for (;;) {
      seen = wait_for_change(worker, seen);
      if ((seen & kTaken) != 0 || !take(worker, seen)) continue;
      const uint32_t run_taken = seen;
      seen |= kTaken;
      if (worker.call == nullptr) return;
      work(worker.f, worker.call, worker.tasks, index, index);
      worker.finished.store(run_taken, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = usable_processors();
  state_ = std::make_unique<State>(static_cast<size_t>(threads) - 1);
  try {
    for (State::Worker& worker : state_->workers) {
      worker.thread =
          std::thread([s = state_.get(), &worker, i = static_cast<int>(state_->started) + 1] { s->serve(worker, i); });
      ++state_->started;
    }
  } catch (const std::system_error& e) {
    throw Error("threads", fmt::format("{} threads", threads),
                fmt::format("{}: {}", state_->started + 1, e.code().message()));
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
  const auto helpers = static_cast<size_t>(std::min(tasks - 1, static_cast<int64_t>(s.workers.size())));
  s.run += State::kNextRun;
  s.next.store(static_cast<int64_t>(helpers) + 1, std::memory_order_relaxed);
  for (size_t i = 0; i < helpers; ++i) State::announce(s.workers[i], call, f, tasks, s.run);
  s.work(f, call, tasks, 0, 0);
  for (size_t i = 0; i < helpers; ++i) {
    State::Worker& worker = s.workers[i];
    if (State::take(worker, s.run)) {
      call(f, static_cast<int64_t>(i) + 1, 0);
      continue;
    }
    for (int spins = 0; worker.finished.load(std::memory_order_acquire) != s.run; ++spins) {
      pause_briefly();
      if (spins > 4096) std::this_thread::yield();  // a worker lost its processor
    }
  }
}

}  // namespace sigma
