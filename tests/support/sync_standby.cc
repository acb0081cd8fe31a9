#include "support/sync_standby.h"

#include "pgrecast/base/lsn.h"

#include <array>
#include <poll.h>
#include <stdexcept>

namespace pgrecast::test {
namespace {

// In synchronous_standby_names and pg_stat_replication.
constexpr const char* kName = "pgrecast_sync_standby";

void put_big_endian(std::string& out, std::uint64_t value) {
  constexpr unsigned kBits = 64;
  constexpr unsigned kByte = 8;
  for (unsigned shift = kBits; shift > 0;) {
    shift -= kByte;
    out += static_cast<char>((value >> shift) & 0xFFU);
  }
}

std::uint64_t big_endian(const char* bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value = (value << 8U) | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

std::string checked(PGconn* conn, const std::string& sql,
                    ExecStatusType expected, int column) {
  PGresult* result = PQexec(conn, sql.c_str());
  const ExecStatusType status = PQresultStatus(result);
  std::string value = PQntuples(result) == 1 && column >= 0
                          ? PQgetvalue(result, 0, column)
                          : "";
  PQclear(result);
  if (status != expected) {
    throw std::runtime_error(sql + ": " + PQerrorMessage(conn));
  }
  return value;
}

}  // namespace

SyncStandby::SyncStandby(PgCluster& cluster)
    : cluster_(cluster),
      conn_(PQconnectdb((cluster.dsn() +
                         " replication=true application_name=" + kName +
                         // A stalled standby is silent, and stays connected.
                         " options='-c wal_sender_timeout=0'")
                            .c_str())) {
  constexpr int kPositionColumn = 2;  // systemid, timeline, xlogpos, dbname
  const std::string position =
      checked(conn_.get(), "IDENTIFY_SYSTEM", PGRES_TUPLES_OK, kPositionColumn);
  received_ = Lsn::parse(position).value().value;
  checked(conn_.get(), "START_REPLICATION PHYSICAL " + position,
          PGRES_COPY_BOTH, -1);
  thread_ =
      std::jthread([this](const std::stop_token& stop) { receive(stop); });
  tell_position_if_not_stalled();
  cluster_.set("synchronous_standby_names", kName);
  Session superuser = cluster_.session();
  const bool counted = eventually([&] {
    return superuser.query_value(
               "SELECT count(*) FROM pg_stat_replication "
               "WHERE application_name = $1 AND sync_state = 'sync' "
               "AND state = 'streaming'",
               kName) == "1";
  });
  if (!counted) throw std::runtime_error("the standby is not synchronous");
}

SyncStandby::~SyncStandby() {
  try {
    // Wakes the commits that wait.
    if (cluster_.running()) cluster_.set("synchronous_standby_names", "");
  } catch (const std::exception& error) {
    fmt::print(stderr, "synchronous_standby_names is not reset: {}\n",
               error.what());
  }
}

void SyncStandby::stall() {
  const std::lock_guard lock(mutex_);
  stalled_ = true;
}

void SyncStandby::resume() {
  {
    const std::lock_guard lock(mutex_);
    stalled_ = false;
  }
  tell_position_if_not_stalled();
}

int SyncStandby::waiting_commits() const {
  return std::stoi(cluster_.session().query_value(
      "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"));
}

void SyncStandby::receive(const std::stop_token& stop) {
  // How soon the thread notices that it is to end.
  constexpr int kPollMs = 20;
  while (!stop.stop_requested()) {
    pollfd ready{.fd = PQsocket(conn_.get()), .events = POLLIN, .revents = 0};
    poll(&ready, 1, kPollMs);
    {
      const std::lock_guard lock(mutex_);
      // The server is gone (a test killed it): nothing more will come.
      if (PQconsumeInput(conn_.get()) != 1) return;
      char* bytes = nullptr;
      int size = 0;
      while ((size = PQgetCopyData(conn_.get(), &bytes, 1)) > 0) {
        take_message(bytes, size);
        PQfreemem(bytes);
      }
      if (size < 0) return;
    }
    if (ready.revents != 0) tell_position_if_not_stalled();
  }
}

// 'w': where it starts (8 bytes), the WAL's end (8), the time (8), the WAL.
// Keepalives say nothing that we need; each message is answered.
void SyncStandby::take_message(const char* bytes, int size) {
  constexpr int kHeader = 1 + 3 * 8;
  if (bytes[0] != 'w' || size < kHeader) return;
  received_ =
      big_endian(bytes + 1) + static_cast<std::uint64_t>(size - kHeader);
}

// A standby status update: written, flushed, applied, the time (which nobody
// looks at), no reply wanted.
void SyncStandby::tell_position_if_not_stalled() {
  const std::lock_guard lock(mutex_);
  if (stalled_) return;
  std::string update = "r";
  for (int i = 0; i < 3; ++i) put_big_endian(update, received_);
  put_big_endian(update, 0);
  update += '\0';
  PQputCopyData(conn_.get(), update.data(), static_cast<int>(update.size()));
  PQflush(conn_.get());
}

}  // namespace pgrecast::test
