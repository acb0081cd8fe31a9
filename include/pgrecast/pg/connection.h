#pragma once

#include "pgrecast/base/deadline.h"
#include "pgrecast/pg/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct pg_conn;

namespace pgrecast::pg {

// How long an ordinary statement of ours may take before the session counts as
// hung: no catalog query, chunk or batch comes near it.
inline constexpr auto kStatementTimeMax = std::chrono::minutes(2);

// How long giving back may take before the session is left to the server.
inline constexpr auto kCleanupTimeMax = std::chrono::seconds(5);

// The value of a parameter $n, as text; NULL where there is none.
class Param {
 public:
  Param(std::string_view text) : text_(text) {}        // NOLINT
  Param(std::string text) : text_(std::move(text)) {}  // NOLINT
  Param(const char* text) : text_(text) {}             // NOLINT
  Param(std::nullopt_t /*null*/) {}                    // NOLINT
  Param(std::optional<std::string> text)               // NOLINT
      : text_(std::move(text)) {}
  template <std::integral Number>
  Param(Number number)  // NOLINT
      : text_(std::is_same_v<Number, bool> ? (number ? "t" : "f")
                                           : std::to_string(number)) {}

  const char* native() const { return text_ ? text_->c_str() : nullptr; }

 private:
  std::optional<std::string> text_;
};

// Where to connect and as what. Copied for every session that is opened.
struct Endpoint {
  std::string conninfo;     // libpq's string or URI; may hold a password
  std::string application;  // application_name's beginning: "pgrecast orders"
};

// One session with a PostgreSQL server.
//
// Belongs to the thread that uses it, and so does all that is made from it.
// Movable, not copyable; the destructor closes the session. Every wait ends at
// its deadline or when stop is requested of the token given to open(): the
// running statement is cancelled, its end awaited, and Stopped (or TimedOut)
// thrown; the session can go on afterwards, for a ROLLBACK through cleanup().
class Connection {
 public:
  enum class Kind { kSql, kReplication };

  // Connects. `role` is the rest of application_name, what this session does.
  //
  // Sets what a session of ours needs whatever ALTER ROLE and ALTER DATABASE
  // say: synchronous_commit = local (a stalled standby must not freeze us), no
  // time-outs that would end us in the middle, READ COMMITTED, read-write,
  // row_security = off (an error instead of silently missing rows), an empty
  // search_path, keepalives that find a dead peer within half a minute.
  //
  // Throws ConnectionError, SqlError, TimedOut, Stopped.
  static Connection open(const Endpoint& endpoint, std::string_view role,
                         std::stop_token stop, Kind kind = Kind::kSql);

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // Runs one statement with $1..$n bound to `params`; or, without parameters,
  // any number of statements as one simple query (the last result counts).
  // Throws SqlError, ConnectionError, TimedOut, Stopped.
  Result exec(const std::string& sql, const std::vector<Param>& params = {},
              Deadline deadline = Deadline::in(kStatementTimeMax));

  // The same whether stop was requested or not: for COMMIT, ROLLBACK and for
  // giving back what is held.
  Result cleanup(const std::string& sql,
                 Deadline deadline = Deadline::in(kCleanupTimeMax));

  // Notifications that came since the last call: (channel, payload). Does not
  // wait; wait_readable() does.
  std::vector<std::pair<std::string, std::string>> notifications();

  // Until there is something to read, or the deadline: false. Throws Stopped.
  bool wait_readable(Deadline deadline);

  // From now on its waits end when stop is requested of this token, and no
  // longer of the one before.
  void obey(const std::stop_token& stop);

  bool alive() const;
  int server_version() const;  // 150018
  int backend_pid() const;
  bool in_transaction() const;

  pg_conn* native() const;
  // Waits for the socket; throws Stopped. For the replication stream.
  bool wait_socket(bool for_write, Deadline deadline);
  [[noreturn]] void throw_broken(std::string_view doing);

 private:
  struct State;
  explicit Connection(std::unique_ptr<State> state);

  void wait_for_answer(const std::string& sql, Deadline deadline,
                       bool stoppable);
  Result finish(const std::string& sql, Deadline deadline, bool stoppable);
  void cancel_and_drain(const std::string& sql);

  std::unique_ptr<State> state_;
};

// BEGIN .. COMMIT. At most one at a time on a Connection. The destructor rolls
// back what was not committed.
class Transaction {
 public:
  enum class Isolation { kReadCommitted, kRepeatableRead };

  explicit Transaction(Connection& connection,
                       Isolation isolation = Isolation::kReadCommitted);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  // Throws CommitInDoubt when the session breaks before the answer, SqlError
  // when the server refused (deferred constraints), Error when it answered
  // ROLLBACK.
  void commit();
  void rollback();

 private:
  Connection* connection_;
  bool open_ = true;
};

}  // namespace pgrecast::pg
