#pragma once

#include "scenarios/twin/random.h"
#include "support/pg_cluster.h"
#include "support/sync_standby.h"

#include <atomic>
#include <string>
#include <thread>

namespace pgrecast::test {

// Makes the decoder of a database lag: stops its WAL sender's process
// (SIGSTOP), lets it go on, and stops it again, tens of milliseconds each.
class DecoderLag {
 public:
  DecoderLag(const PgCluster& cluster, std::string database,
             std::uint64_t seed);

  // How often it has stopped a WAL sender.
  int stops() const { return stops_; }

 private:
  void run(const std::stop_token& stop);

  const std::string dsn_;
  const std::string database_;
  Random random_;
  std::atomic<int> stops_ = 0;
  std::jthread thread_;  // the last member: it uses the others
};

// A synchronous standby that stalls, for up to a second and a half, again and
// again. It goes on without stalls once this is destroyed.
class StandbyStalls {
 public:
  StandbyStalls(PgCluster& cluster, std::uint64_t seed);

  int stalls() const { return stalls_; }

 private:
  void run(const std::stop_token& stop);

  SyncStandby standby_;
  Random random_;
  std::atomic<int> stalls_ = 0;
  std::jthread thread_;  // the last member: it uses the others
};

// Returns after `time`, or at once when the thread shall stop.
void pause(const std::stop_token& stop, milliseconds time);

}  // namespace pgrecast::test
