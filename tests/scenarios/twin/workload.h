#pragma once

#include "pgrecast/base/deadline.h"

#include "scenarios/twin/twin_schema.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgrecast::test {

struct LoadOptions {
  std::uint64_t seed = 1;
  int writers = 8;
  // Ids in use: somewhat more than there are rows, so that a random one may be
  // there or not.
  int ids = 0;
  // Transactions that stay open for 0.5 to 3 s, one after the other, on ids of
  // their own; the first opens at once, with an xid.
  bool long_transactions = true;
  // Transactions that change every second row, by a writer of their own, one
  // after the other. (Half of 200,000 rows: the 100,000 asked for.)
  int large_transactions = 0;
  // Whether they wait for TwinLoad::begin_large().
  bool large_when_told = false;
  // Whether one transaction in five is prepared first, and committed (or rolled
  // back) a moment later. The server must allow prepared transactions.
  bool prepared_transactions = false;
  // Whether a writer of its own truncates the table: once soon after the start,
  // and once more when TwinLoad::truncate() tells it to.
  bool truncates = false;
  // A writer's pause between two transactions, at most.
  milliseconds think_time_max{0};
  // Whether the server may end sessions: then a writer connects again, and
  // goes on. Whatever became of its last COMMIT, it did to both tables.
  bool server_restarts = false;
};

// What the writers have met until now.
struct LoadStatistics {
  long commits = 0;
  long commits_in_new_shape = 0;
  long large_commits = 0;
  long prepared = 0;
  long truncates = 0;
  long rollbacks = 0;          // by choice
  long unique_violations = 0;  // in savepoints, on the table and its twin alike
  long connections_lost = 0;
  // Errors that no writer asked for, by SQLSTATE; 40P01 is a deadlock's victim.
  std::map<std::string, long> errors;
  // What an error or a statement with different outcomes looked like: the first
  // few.
  std::vector<std::string> complaints;
  // Statements that did not do the same to the table and to its twin.
  long divergences = 0;
  // The longest transaction of each writer; last come the writers of the long
  // and of the large ones.
  std::vector<milliseconds> latency_max;

  bool clean() const { return errors.empty() && divergences == 0; }
  std::string text() const;
};

// Writers that do random things to a table, and in the same transaction the
// same to its twin, from construction to stop().
//
// They never deadlock with each other: a transaction first takes advisory locks
// for the keys that it names, in order, then, in order, for the unique values
// that these rows hold or shall get. So any deadlock is somebody else's doing,
// and a statement on the table and its twin meets the same rows.
//
// A writer that finds the table in its new shape fills new_twin() from twin(),
// once, while the others wait: no transaction can still hold the old table
// then, and what they committed is in the snapshot. (See TwinSchema.)
//
// Every thread has its own session. Use from one thread.
class TwinLoad {
 public:
  TwinLoad(std::string dsn, const TwinSchema& schema,
           const LoadOptions& options);
  TwinLoad(const TwinLoad&) = delete;
  TwinLoad& operator=(const TwinLoad&) = delete;
  ~TwinLoad();

  // Ends every transaction in its own time; then what there is to tell.
  LoadStatistics stop();
  LoadStatistics statistics() const;

  // Whether `count` more transactions are committed before the deadline.
  bool wait_for_commits(long count, Deadline deadline) const;
  // Lets the large transactions begin, and returns when they are committed:
  // false at the deadline.
  bool run_large(Deadline deadline);
  // Lets the table be truncated, and returns when that is committed: false at
  // the deadline.
  bool truncate(Deadline deadline);
  // As wait_for_commits(), of transactions on the table's new shape.
  bool wait_for_commits_in_new_shape(long count, Deadline deadline) const;

 private:
  friend class TwinWriter;

  // Which of the two twins stands for the table now. Shared by the writers.
  struct NewShape {
    std::mutex mutex;
    std::atomic<bool> filled = false;
  };

  const std::string dsn_;
  const TwinSchema& schema_;
  const LoadOptions options_;
  NewShape new_shape_;
  std::atomic<bool> large_begun_ = false;
  std::atomic<bool> truncate_told_ = false;
  mutable std::mutex statistics_mutex_;
  mutable std::condition_variable statistics_changed_;
  LoadStatistics statistics_;          // guarded by statistics_mutex_
  std::vector<std::jthread> threads_;  // the last member: they use the others
};

}  // namespace pgrecast::test
