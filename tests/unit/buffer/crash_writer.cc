// Writes transactions to a new change buffer until it is killed or the disk
// fails, with rounds on a second thread. Prints "durable N" whenever N may be
// confirmed. See crash_history.h for what it writes.
//
//   buffer_crash_writer FOLDER FILE_BYTES_MAX (0: no limit)

#include "pgrecast/base/error.h"
#include "pgrecast/buffer/change_buffer.h"

#include "unit/buffer/buffer_fixture.h"
#include "unit/buffer/crash_history.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sys/resource.h>
#include <thread>

namespace {

using pgrecast::ChangeBuffer;
using pgrecast::StorageError;
namespace history = pgrecast::test::history;

void run_rounds(ChangeBuffer& buffer, const std::atomic<bool>& stop) {
  try {
    while (!stop) buffer.forget(buffer.seal(), history::keep);
  } catch (const StorageError&) {
    // The receiver will meet it too, and tell.
  }
}

// Until the disk fails.
void receive(ChangeBuffer& buffer) {
  for (std::uint64_t transaction = 1;; ++transaction) {
    for (std::uint64_t i = 0; i < history::kKeysPerTransaction; ++i) {
      buffer.note_key(0, history::key(transaction, i),
                      pgrecast::Xid64{transaction});
    }
    buffer.commit(history::commit_lsn(transaction),
                  history::end_lsn(transaction));
    if (transaction % 50 != 0) continue;
    std::printf("durable %llu\n",
                static_cast<unsigned long long>(buffer.sync().value));
    std::fflush(stdout);
  }
}

int write_until_it_fails(ChangeBuffer& buffer) {
  std::atomic<bool> stop = false;
  std::jthread refresher([&] { run_rounds(buffer, stop); });
  try {
    receive(buffer);
  } catch (const StorageError& error) {
    stop = true;
    std::fprintf(stderr, "%s\n", error.what());
  }
  const pgrecast::Lsn confirmed = buffer.durable_position();
  try {
    buffer.sync();
  } catch (const StorageError&) {
    std::printf("failed %llu\n",
                static_cast<unsigned long long>(confirmed.value));
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  try {
    ChangeBuffer buffer = ChangeBuffer::create(
        arguments[1], pgrecast::test::some_identity(), pgrecast::Lsn{1});
    const auto bytes_max = std::strtoull(arguments[2], nullptr, 10);
    if (bytes_max != 0) {
      // Writes beyond the limit fail with EFBIG, as on a full disk.
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{bytes_max, bytes_max};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    }
    return write_until_it_fails(buffer);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
