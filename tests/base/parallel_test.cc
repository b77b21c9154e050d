#include "base/parallel.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/error.h"

namespace sigma {
namespace {

TEST(ThreadPool, RunsEveryTaskOnceOnItsThreads) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t tasks : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::atomic<bool> in_range = true;
      pool.run(tasks, [&](int64_t task, int thread) {
        ++runs[static_cast<size_t>(task)];
        if (thread < 0 || thread >= threads) in_range = false;
      });
      for (const auto& count : runs) EXPECT_EQ(count, 1);
      EXPECT_TRUE(in_range);
    }
  }
}

TEST(ThreadPool, ShortRunsInARowSeeEachOthersWrites) {
  ThreadPool pool(4);
  std::vector<int> values(16, 0);  // plain memory: run() itself must order it
  for (int round = 0; round < 20000; ++round) {
    const int64_t tasks = 1 + round % 16;
    pool.run(tasks, [&](int64_t task) { values[static_cast<size_t>(task)] += 1 + round % 3; });
    if (round % 100 == 0) std::this_thread::yield();
  }
  int64_t sum = 0, expected = 0;
  for (const int value : values) sum += value;
  for (int round = 0; round < 20000; ++round) expected += (1 + round % 16) * (1 + round % 3);
  EXPECT_EQ(sum, expected);
}

TEST(ThreadPool, WorkersThatWentToSleepComeBack) {
  ThreadPool pool(3);
  std::atomic<int> done = 0;
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    pool.run(3, [&](int64_t) { ++done; });
  }
  EXPECT_EQ(done, 60);
}

TEST(ThreadPool, ThreadsThatTheSystemRefusesAreAnError) {
  if (std::getenv("SIGMA_TEST_SWEEP") != nullptr) GTEST_SKIP() << "an emulator would try";
  pthread_attr_t before, huge;
  ASSERT_EQ(::pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(::pthread_attr_init(&huge), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&huge, size_t{1} << 46), 0);  // half of all addresses
  ASSERT_EQ(::pthread_setattr_default_np(&huge), 0);
  EXPECT_THROW(ThreadPool(8), Error);
  EXPECT_EQ(::pthread_setattr_default_np(&before), 0);
}

// Two tasks that wait for each other end only if two threads run them.
TEST(ThreadPool, TasksRunAtTheSameTime) {
  ThreadPool pool(2);
  std::atomic<int> arrived = 0;
  pool.run(2, [&](int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

}  // namespace
}  // namespace sigma
