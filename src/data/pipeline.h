// Reading, working and writing at the same time, with the same result for any number of threads.
#pragma once

#include <exception>
#include <utility>
#include <vector>

#include "base/parallel.h"

namespace sigma {

// Jobs are numbered as they are read. read(job) fills the next one, false at the end; work(job, thread) is called for
// many at a time; write(job) in their order. At most eight a thread exist at once, and are used again and again.
// Reading and writing run on one thread at a time. What any of them throws ends the run and is thrown here: a fault in
// work where its job would have been written.
template <class Job, class Read, class Work, class Write>
void run_pipeline(ThreadPool& threads, const Read& read, const Work& work, const Write& write) {
  struct Slot {
    Job job;
    std::exception_ptr failure;
  };
  const auto room = static_cast<size_t>(threads.size()) * 4;
  // Two sets take turns: while one is worked on, the first task writes the other and reads what comes next into it.
  std::vector<Slot> now(room), other(room);
  size_t count = 0, done = 0;
  const auto guarded = [](std::exception_ptr& failure, const auto& f) {
    try {
      failure = nullptr;
      f();
    } catch (...) {
      failure = std::current_exception();
    }
  };
  do {
    size_t got = 0;
    std::exception_ptr failure;
    threads.run(static_cast<int64_t>(count) + 1, [&](int64_t task, int thread) {
      if (task > 0) {
        Slot& slot = now[static_cast<size_t>(task) - 1];
        guarded(slot.failure, [&] { work(slot.job, thread); });
        return;
      }
      guarded(failure, [&] {
        for (size_t i = 0; i < done; ++i) {
          if (other[i].failure) std::rethrow_exception(other[i].failure);
          write(other[i].job);
        }
        while (got < room && read(other[got].job)) ++got;
      });
    });
    if (failure) std::rethrow_exception(failure);
    done = count;
    count = got;
    std::swap(now, other);
  } while (count > 0 || done > 0);
}

}  // namespace sigma
