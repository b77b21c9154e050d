// The processes that work together on one run: a training run's share its rows and the optimiser's state, a corpus
// build's its tasks. With one process nothing is sent. Built with MPI (collectives/mpi.cc) or without
// (collectives/none.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sigma {

class Collectives {
 public:
  Collectives();   // joins the processes that mpirun (or Slurm) started
  ~Collectives();  // leaves them; every process must
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;

  int rank() const;
  int size() const;
  // What every process gives, in the order of ranks; the same number of values from each.
  std::vector<double> gather(std::span<const double> values);
  // Sums over all processes, added in the order of ranks: the same bits everywhere.
  void sum(std::span<double> values);
  // Returns when all processes have called it.
  void barrier();
  // Replaces text by that of process 0.
  void share(std::string& text);

  // Each of these begins a transfer; wait() ends all that were begun, poll() gives them a moment. Every process calls
  // them in the same order with spans of the same length, and leaves the span alone until wait().
  void start_reduce(std::span<float> values, int owner);     // the owner's span becomes the sum over all
  void start_broadcast(std::span<float> values, int owner);  // everyone's span becomes the owner's
  void start_collect(std::span<float> values, int owner);    // process 0's span becomes the owner's
  void poll();
  void wait();

  // Ends all processes with this exit status.
  [[noreturn]] void abort(int status);

  uint64_t bytes_sent() const;  // that this process handed to transfers since it joined

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sigma
