#pragma once

#include "support/pg_cluster.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace pgrecast::test {

// A synchronous standby that can be made to stall: a thread that receives the
// WAL as a standby's walreceiver does, and says that it is flushed and applied
// without keeping it. (So it needs no second server, and no pg_receivewal,
// which not every build has.)
//
// From its making to its destruction every commit on the cluster with
// synchronous_commit above `local` waits for it. While it is stalled, commits
// wait: their WAL is flushed and decoded, and no new snapshot sees them.
class SyncStandby {
 public:
  // Returns when the server counts it as its synchronous standby.
  explicit SyncStandby(PgCluster& cluster);
  SyncStandby(const SyncStandby&) = delete;
  SyncStandby& operator=(const SyncStandby&) = delete;
  // No commit waits any more.
  ~SyncStandby();

  // When this returns, no commit that begins now ends before resume().
  void stall();
  void resume();

  // How many sessions wait in their COMMIT for it.
  int waiting_commits() const;

 private:
  struct Closer {
    void operator()(PGconn* conn) const noexcept { PQfinish(conn); }
  };

  void receive(const std::stop_token& stop);
  void take_message(const char* bytes, int size);
  void tell_position_if_not_stalled();

  PgCluster& cluster_;
  std::unique_ptr<PGconn, Closer> conn_;
  std::mutex mutex_;  // guards what follows, and sending on conn_
  bool stalled_ = false;
  std::uint64_t received_ = 0;  // the end of what has come, an LSN
  std::jthread thread_;         // the last member: it uses the others
};

}  // namespace pgrecast::test
