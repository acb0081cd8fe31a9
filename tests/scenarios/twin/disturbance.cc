#include "scenarios/twin/disturbance.h"

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <utility>

namespace pgrecast::test {

void pause(const std::stop_token& stop, milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
}

DecoderLag::DecoderLag(const PgCluster& cluster, std::string database,
                       std::uint64_t seed)
    : dsn_(cluster.dsn()),
      database_(std::move(database)),
      random_(seed),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void DecoderLag::run(const std::stop_token& stop) {
  Session superuser(dsn_);
  while (!stop.stop_requested()) {
    const Rows senders = superuser.query_rows(
        "SELECT active_pid FROM pg_replication_slots "
        "WHERE active_pid IS NOT NULL AND slot_type = 'logical' "
        "AND database = $1",
        database_);
    for (const Row& sender : senders) {
      const pid_t pid = std::stoi(sender[0]);
      kill(pid, SIGSTOP);
      ++stops_;
      pause(stop, milliseconds(random_.between(20, 90)));
      kill(pid, SIGCONT);
    }
    pause(stop, milliseconds(random_.between(5, 60)));
  }
}

StandbyStalls::StandbyStalls(PgCluster& cluster, std::uint64_t seed)
    : standby_(cluster),
      random_(seed),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void StandbyStalls::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    standby_.stall();
    ++stalls_;
    pause(stop, milliseconds(random_.between(50, 1'500)));
    standby_.resume();
    pause(stop, milliseconds(random_.between(100, 500)));
  }
}

}  // namespace pgrecast::test
