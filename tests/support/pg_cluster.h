#pragma once

#include "support/process.h"
#include "support/session.h"

#include <map>
#include <optional>
#include <string>

namespace pgrecast::test {

// A PostgreSQL server of our own: initdb into a new folder below /dev/shm, or
// /tmp where memory is short, a unix socket in that folder and no other way in,
// unless its settings say so. About 1.2 s to make. As root, it runs as user
// postgres.
//
// The programs come from PGRECAST_TEST_PG_BINDIR, or Debian's version 15.
// wal_level is logical; fsync is off, which a killed server survives and a
// killed machine would not. The superuser is postgres; no password anywhere.
//
// The destructor ends every process of it and removes the folder, except under
// PGRECAST_TEST_KEEP=1: then it is below /tmp, and stays. Use on the main
// thread (see Process).
class PgCluster {
 public:
  using Settings = std::map<std::string, std::string>;
  enum class Stop {
    kFast,       // SIGINT: sessions end, WAL senders are waited for
    kImmediate,  // SIGQUIT: as a crash, but orderly about the processes
  };

  // `settings` go to postgresql.conf after ours, so ALTER SYSTEM still wins:
  // PgCluster cluster(PgCluster::Settings{{"wal_sender_timeout", "1s"}});
  // Runs the server. Throws std::runtime_error, with the log, if it cannot.
  explicit PgCluster(const Settings& settings = {});
  PgCluster(const PgCluster&) = delete;
  PgCluster& operator=(const PgCluster&) = delete;
  ~PgCluster();

  // 14, 15, ..
  int version() const { return version_; }
  // Where initdb, postgres and the rest are.
  static std::string bin_folder();
  const std::string& folder() const { return folder_; }
  pid_t postmaster_pid() const { return server_ ? server_->pid() : -1; }
  bool running() { return server_ && server_->running(); }

  // Returns when the server accepts connections.
  void start();
  // Returns when every process of it is gone; false where it did not end by
  // the deadline (a WAL sender that waits for its client): it goes on ending.
  bool stop(Stop mode = Stop::kFast,
            Deadline deadline = Deadline::in(kPatience));
  // As if somebody pulled the plug: SIGKILL to the postmaster and all that it
  // started. Returns when they are gone; start() then recovers.
  void kill_server();
  void restart(Stop mode = Stop::kFast);
  // Stops, and comes up again as a promoted standby does: on a new timeline.
  void start_new_timeline();
  // What pg_upgrade makes of all that is in it, in the place of `successor`,
  // which was empty: the same tables, another server. Stops both.
  void upgrade_into(PgCluster& successor);

  // For `port`, where it is to listen on the loopback, too (listen_addresses).
  static std::string free_port();
  const std::string& port() const { return port_; }

  // libpq's connection string, by the unix socket.
  std::string dsn(const std::string& database = "postgres",
                  const std::string& user = "postgres") const;
  // A session of the superuser.
  Session session(const std::string& database = "postgres") const;
  // ALTER SYSTEM, and returns when the server has read it. For what a reload
  // can change. An empty value resets.
  void set(const std::string& setting, const std::string& value) const;

  // Everything the server has logged.
  std::string log_text() const;

 private:
  void init(const Settings& settings);
  void run_to_end(const std::string& program,
                  const std::vector<std::string>& arguments);
  void run_to_end(const std::vector<std::string>& command);
  [[noreturn]] void fail(const std::string& what);

  std::string folder_;
  std::string data_;
  std::string port_ = "5432";
  std::optional<Process> server_;
  int version_ = 0;
};

// One cluster for all tests of a binary, made when first asked for and removed
// when the program ends. A test that stops or reconfigures the server makes a
// cluster of its own.
class SharedCluster {
 public:
  static PgCluster& get();
};

}  // namespace pgrecast::test
