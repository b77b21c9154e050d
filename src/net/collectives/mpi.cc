// Processes started by mpirun or Slurm.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fmt.h"
#include "net/collectives.h"

namespace sigma {

struct Collectives::Impl {
  bool joined = false;  // a process that no launcher started need not know of MPI
  int rank = 0, size = 1;
  std::vector<MPI_Request> requests;
  uint64_t bytes = 0;

  void check(int result) const {
    if (result == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = {};
    int length = 0;
    MPI_Error_string(result, text, &length);
    throw Error(fmt::format("process {} of {}", rank, size), "the other processes", printable(text, 200));
  }
};

namespace {

// MPI counts in int.
constexpr size_t kMostFloats = size_t{1} << 30;

// Whether a launcher started this process among others.
bool launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "PMI_RANK"})
    if (std::getenv(name) != nullptr) return true;
  return false;
}

template <class F>
void in_pieces(std::span<float> values, const F& f) {
  for (size_t at = 0; at < values.size(); at += kMostFloats)
    f(values.data() + at, static_cast<int>(std::min(kMostFloats, values.size() - at)));
}

}  // namespace

Collectives::Collectives() : impl_(std::make_unique<Impl>()) {
  if (!launched()) return;
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
    throw Error("MPI", "the processes that mpirun started", "none");
  impl_->joined = true;
  MPI_Comm_rank(MPI_COMM_WORLD, &impl_->rank);
  MPI_Comm_size(MPI_COMM_WORLD, &impl_->size);
  // A process that dies takes the others with it, with mpirun's own message.
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

Collectives::~Collectives() {
  if (impl_->joined) MPI_Finalize();
}

int Collectives::rank() const { return impl_->rank; }
int Collectives::size() const { return impl_->size; }
uint64_t Collectives::bytes_sent() const { return impl_->bytes; }

std::vector<double> Collectives::gather(std::span<const double> values) {
  if (impl_->size == 1) return {values.begin(), values.end()};
  const auto n = static_cast<int>(values.size());
  std::vector<double> all(values.size() * static_cast<size_t>(impl_->size));
  impl_->check(MPI_Allgather(values.data(), n, MPI_DOUBLE, all.data(), n, MPI_DOUBLE, MPI_COMM_WORLD));
  return all;
}

void Collectives::sum(std::span<double> values) {
  if (impl_->size == 1) return;
  const std::vector<double> all = gather(values);
  std::fill(values.begin(), values.end(), 0.0);
  for (size_t i = 0; i < all.size(); ++i) values[i % values.size()] += all[i];
}

// A process that waits sleeps: the others' threads may need its processor, and what they do takes minutes.
void Collectives::barrier() {
  if (impl_->size == 1) return;
  MPI_Request request = MPI_REQUEST_NULL;
  impl_->check(MPI_Ibarrier(MPI_COMM_WORLD, &request));
  for (int done = 0; done == 0;) {
    impl_->check(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    if (done == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Collectives::share(std::string& text) {
  if (impl_->size == 1) return;
  auto bytes = static_cast<uint64_t>(text.size());
  impl_->check(MPI_Bcast(&bytes, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD));
  text.resize(bytes);
  impl_->check(MPI_Bcast(text.data(), static_cast<int>(bytes), MPI_CHAR, 0, MPI_COMM_WORLD));
}

void Collectives::start_reduce(std::span<float> values, int owner) {
  if (impl_->size == 1) return;
  const bool mine = impl_->rank == owner;
  in_pieces(values, [&](float* data, int count) {
    impl_->requests.emplace_back();
    impl_->check(MPI_Ireduce(mine ? MPI_IN_PLACE : data, mine ? data : nullptr, count, MPI_FLOAT, MPI_SUM, owner,
                             MPI_COMM_WORLD, &impl_->requests.back()));
  });
  if (!mine) impl_->bytes += values.size_bytes();
}

void Collectives::start_broadcast(std::span<float> values, int owner) {
  if (impl_->size == 1) return;
  in_pieces(values, [&](float* data, int count) {
    impl_->requests.emplace_back();
    impl_->check(MPI_Ibcast(data, count, MPI_FLOAT, owner, MPI_COMM_WORLD, &impl_->requests.back()));
  });
  if (impl_->rank == owner) impl_->bytes += values.size_bytes() * static_cast<size_t>(impl_->size - 1);
}

void Collectives::start_collect(std::span<float> values, int owner) {
  if (impl_->size == 1 || owner == 0) return;
  in_pieces(values, [&](float* data, int count) {
    impl_->requests.emplace_back();
    if (impl_->rank == 0) {
      impl_->check(MPI_Irecv(data, count, MPI_FLOAT, owner, 0, MPI_COMM_WORLD, &impl_->requests.back()));
    } else {
      impl_->check(MPI_Isend(data, count, MPI_FLOAT, 0, 0, MPI_COMM_WORLD, &impl_->requests.back()));
      impl_->bytes += static_cast<uint64_t>(count) * sizeof(float);
    }
  });
}

void Collectives::poll() {
  int done = 0;
  if (!impl_->requests.empty())
    impl_->check(
        MPI_Testall(static_cast<int>(impl_->requests.size()), impl_->requests.data(), &done, MPI_STATUSES_IGNORE));
  if (done != 0) impl_->requests.clear();
}

void Collectives::wait() {
  if (!impl_->requests.empty())
    impl_->check(MPI_Waitall(static_cast<int>(impl_->requests.size()), impl_->requests.data(), MPI_STATUSES_IGNORE));
  impl_->requests.clear();
}

void Collectives::abort(int status) {
  if (impl_->joined) MPI_Abort(MPI_COMM_WORLD, status);
  std::exit(status);
}

}  // namespace sigma
