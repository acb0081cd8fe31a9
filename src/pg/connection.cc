#include "pgrecast/pg/connection.h"

#include "pgrecast/base/assert.h"
#include "pgrecast/base/log.h"
#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <array>
#include <cerrno>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace pgrecast::pg {
namespace {

constexpr auto kConnectTimeMax = std::chrono::seconds(30);
// How long a cancelled statement may take to end before the session is given
// up: the server checks for interrupts at every row.
constexpr auto kCancelTimeMax = std::chrono::seconds(10);
// NAMEDATALEN - 1: the server cuts longer names, with a notice only.
constexpr std::size_t kApplicationNameBytesMax = 63;

// An eventfd that becomes readable, for good, when stop is requested.
class StopEvent {
 public:
  explicit StopEvent(const std::stop_token& token)
      : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        callback_(token, Set{fd_}) {
    if (fd_ < 0) throw ConnectionError("no file descriptor left");
  }
  StopEvent(const StopEvent&) = delete;
  StopEvent& operator=(const StopEvent&) = delete;
  ~StopEvent() {
    callback_.reset();
    close(fd_);
  }

  int fd() const { return fd_; }

 private:
  struct Set {
    int fd;
    void operator()() const noexcept {
      const std::uint64_t one = 1;
      // Cannot fail: the counter is far from its maximum.
      if (write(fd, &one, sizeof one) < 0) return;
    }
  };
  class Callback {
   public:
    Callback(const std::stop_token& token, Set set) {
      callback_.emplace(token, set);
    }
    void reset() { callback_.reset(); }

   private:
    std::optional<std::stop_callback<Set>> callback_;
  };

  int fd_;
  Callback callback_;
};

void ignore_notice(void* /*arg*/, const char* message) noexcept {
  try {
    std::string_view text = message;
    while (text.ends_with('\n')) text.remove_suffix(1);
    log::debug("pg", "notice", "message={}", text);
  } catch (...) {  // NOLINT(bugprone-empty-catch): a C callback must not throw.
  }
}

std::string one_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

// Throws UsageError where libpq cannot read the text. Its message repeats
// pieces of the text, so it is passed on only where they cannot be of a
// password.
void check_conninfo(const std::string& conninfo) {
  const bool uri = conninfo.find("://") != std::string::npos;
  if (!uri && conninfo.find('=') == std::string::npos) return;  // a database
  struct Free {
    void operator()(PQconninfoOption* options) const noexcept {
      PQconninfoFree(options);
    }
    void operator()(char* text) const noexcept { PQfreemem(text); }
  };
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, Free> options(
      PQconninfoParse(conninfo.c_str(), &message));
  const std::unique_ptr<char, Free> owned(message);
  if (options != nullptr) return;
  const bool secret = uri || conninfo.find("password") != std::string::npos;
  throw UsageError(fmt::format(
      "the connection string (--dsn) is not valid{}",
      secret || message == nullptr ? "" : ": " + one_line(message)));
}

}  // namespace

struct Connection::State {
  struct Finish {
    void operator()(PGconn* session) const noexcept { PQfinish(session); }
  };

  explicit State(const std::stop_token& token) : stop(token) {
    event.emplace(token);
  }

  // True when the socket is ready, false at the deadline. Throws Stopped when
  // `stoppable` and stop was requested.
  bool wait(short events, Deadline deadline, bool stoppable) const {
    for (;;) {
      if (stoppable && stop.stop_requested()) throw Stopped();
      std::array<pollfd, 2> fds = {
          pollfd{.fd = PQsocket(conn.get()), .events = events, .revents = 0},
          pollfd{.fd = event->fd(), .events = POLLIN, .revents = 0}};
      const nfds_t count = stoppable ? 2 : 1;
      const int ready =
          poll(fds.data(), count, static_cast<int>(deadline.left().count()));
      if (ready < 0 && errno != EINTR) {
        throw ConnectionError("waiting for the server failed");
      }
      if (fds[0].revents != 0) return true;
      if (deadline.passed()) return false;
    }
  }

  std::stop_token stop;
  std::optional<StopEvent> event;
  std::unique_ptr<PGconn, Finish> conn;
};

namespace {

// Before anything is set: a pooler in transaction mode would leave it to the
// application, whose session of the server we were lent. Most poolers make the
// process up that they name when one connects; where one names a real one, the
// second transaction is likely to fall to another.
void refuse_pooler(Connection& connection) {
  constexpr int kTransactions = 2;
  for (int i = 0; i < kTransactions; ++i) {
    const int pid =
        connection.exec("SELECT pg_catalog.pg_backend_pid()").number<int>(0, 0);
    if (pid == connection.backend_pid()) continue;
    throw Refused(
        fmt::format("a connection pooler stands between: process {} of the "
                    "server answers, where process {} was connected to",
                    pid, connection.backend_pid()),
        "give the address of the server itself (--dsn), past the pooler");
  }
}

void set_up_session(Connection& connection, Connection::Kind kind) {
  // An older one is to be refused in words, not by a setting that it lacks.
  constexpr int kOldestSupported = 140000;
  if (connection.server_version() < kOldestSupported) {
    connection.exec("SET search_path = ''");
    return;
  }
  std::string settings =
      "SET synchronous_commit = local;"
      "SET statement_timeout = 0;"
      "SET lock_timeout = 0;"
      // Ours are idle within one for as long as a fence takes. A process that
      // is frozen in the middle lets go of its snapshot and its locks.
      "SET idle_in_transaction_session_timeout = '60s';"
      "SET idle_session_timeout = 0;"
      // Our queries of the catalogs are estimated as dear and take
      // milliseconds: compiling them took most of a plan's time, and of the
      // exchange's.
      "SET jit = off;"
      "SET default_transaction_isolation = 'read committed';"
      "SET default_transaction_read_only = off;"
      "SET default_transaction_deferrable = off;"
      "SET row_security = off;"
      "SET search_path = '';"
      "SET bytea_output = hex;"
      "SET extra_float_digits = 3;"
      "SET datestyle = 'ISO, YMD';"
      "SET intervalstyle = postgres;"
      "SET timezone = 'UTC';"
      // What we make lies where we say, and names that the server prints are
      // what it prints for anybody.
      "SET default_tablespace = '';"
      "SET quote_all_identifiers = off;"
      "SET tcp_keepalives_idle = 10;"
      "SET tcp_keepalives_interval = 5;"
      "SET tcp_keepalives_count = 3;";
  constexpr int kHasTransactionTimeout = 170000;
  if (connection.server_version() >= kHasTransactionTimeout) {
    settings += "SET transaction_timeout = 0;";
  }
  if (kind == Connection::Kind::kSql) {
    // Ends a statement whose client is gone, instead of letting it run on. On
    // other systems than Linux some servers cannot, and refuse the setting.
    settings +=
        "SELECT pg_catalog.set_config('client_connection_check_interval',"
        " '2s', false) WHERE pg_catalog.version() LIKE '%linux%';";
  }
  if (kind == Connection::Kind::kReplication) {
    // The thread that answers also waits for our disk, and a disk may stall for
    // longer than the server's minute. Of a peer that is dead the keepalives
    // above and this tell. Transactions of others are decoded as well: those up
    // to this size without a file on the server's disk.
    settings +=
        "SET wal_sender_timeout = '30min'; SET tcp_user_timeout = '30s';"
        "SET logical_decoding_work_mem = '256MB';";
  }
  const char* encoding =
      PQparameterStatus(connection.native(), "server_encoding");
  if (encoding != nullptr && std::string_view(encoding) == "SQL_ASCII") {
    settings += "SET client_encoding = SQL_ASCII;";
  }
  connection.exec(settings);
}

}  // namespace

Connection::Connection(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Connection Connection::open(const Endpoint& endpoint, std::string_view role,
                            std::stop_token stop, Kind kind) {
  check_conninfo(endpoint.conninfo);
  const std::string name(
      utf8_prefix(fmt::format("{} {}", endpoint.application, role),
                  kApplicationNameBytesMax));
  // What stands before dbname are defaults that the conninfo may change; what
  // follows it may not be changed.
  const std::array keywords = {"keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               "tcp_user_timeout",
                               "dbname",
                               "application_name",
                               "client_encoding",
                               kind == Kind::kReplication
                                   ? "replication"
                                   : static_cast<const char*>(nullptr),
                               static_cast<const char*>(nullptr)};
  const std::array values = {"10",
                             "5",
                             "3",
                             "30000",
                             endpoint.conninfo.c_str(),
                             name.c_str(),
                             "UTF8",
                             "database",
                             static_cast<const char*>(nullptr)};
  auto state = std::make_unique<State>(stop);
  constexpr int kExpandDbname = 1;
  state->conn.reset(
      PQconnectStartParams(keywords.data(), values.data(), kExpandDbname));
  if (state->conn == nullptr) throw ConnectionError("out of memory");
  const Deadline deadline = Deadline::in(kConnectTimeMax);
  PGconn* conn = state->conn.get();
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK) {
    if (status == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD) {
      throw ConnectionError(one_line(PQerrorMessage(conn)));
    }
    const short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (!state->wait(events, deadline, true)) {
      throw ConnectionError("the server does not answer");
    }
    status = PQconnectPoll(conn);
  }
  PQsetNoticeProcessor(conn, ignore_notice, nullptr);
  PQsetnonblocking(conn, 1);
  Connection connection(std::move(state));
  if (kind == Kind::kSql) refuse_pooler(connection);
  set_up_session(connection, kind);
  return connection;
}

Result Connection::exec(const std::string& sql,
                        const std::vector<Param>& params, Deadline deadline) {
  PGRECAST_ASSERT(state_ != nullptr, "use after move");
  if (state_->stop.stop_requested()) throw Stopped();
  int sent = 0;
  if (params.empty()) {
    sent = PQsendQuery(native(), sql.c_str());
  } else {
    std::vector<const char*> values;
    values.reserve(params.size());
    for (const Param& param : params) values.push_back(param.native());
    sent = PQsendQueryParams(native(), sql.c_str(),
                             static_cast<int>(values.size()), nullptr,
                             values.data(), nullptr, nullptr, 0);
  }
  if (sent == 0) throw_broken("sending a statement");
  return finish(sql, deadline, true);
}

Result Connection::cleanup(const std::string& sql, Deadline deadline) {
  if (PQsendQuery(native(), sql.c_str()) == 0) {
    throw_broken("sending a statement");
  }
  return finish(sql, deadline, false);
}

// Until a result can be taken without blocking. At the deadline, or when it is
// to stop, the statement is cancelled first.
void Connection::wait_for_answer(const std::string& sql, Deadline deadline,
                                 bool stoppable) {
  for (;;) {
    const int unsent = PQflush(native());
    if (unsent < 0) throw_broken("sending a statement");
    if (unsent == 0 && PQisBusy(native()) == 0) return;
    const auto events =
        static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN);
    bool ready = false;
    try {
      ready = state_->wait(events, deadline, stoppable);
    } catch (const Stopped&) {
      cancel_and_drain(sql);
      throw;
    }
    if (!ready) {
      cancel_and_drain(sql);
      throw TimedOut(
          fmt::format("no answer in time to: {}", statement_shown(sql)));
    }
    if (PQconsumeInput(native()) == 0) throw_broken("reading an answer");
  }
}

// Reads to the end of what was sent. An error of the server is thrown only
// when the session is ready for the next statement.
Result Connection::finish(const std::string& sql, Deadline deadline,
                          bool stoppable) {
  std::optional<Result> last;
  std::optional<Result> failed;
  for (;;) {
    wait_for_answer(sql, deadline, stoppable);
    PGresult* const result = PQgetResult(native());
    if (result == nullptr) break;
    switch (PQresultStatus(result)) {
      case PGRES_COPY_BOTH:
      case PGRES_COPY_IN:
      case PGRES_COPY_OUT:
        return Result(result);
      case PGRES_FATAL_ERROR:
      case PGRES_BAD_RESPONSE: {
        Result error(result);
        if (!failed) failed.emplace(std::move(error));
        break;
      }
      default:
        last.emplace(result);
    }
  }
  if (failed && !failed->sqlstate().empty()) failed->throw_if_error(sql);
  if (failed || !last) throw_broken("reading an answer");
  return std::move(*last);
}

// Leaves the session ready for the next statement, or closed.
void Connection::cancel_and_drain(const std::string& sql) {
  struct FreeCancel {
    void operator()(PGcancel* cancel) const noexcept { PQfreeCancel(cancel); }
  };
  const std::unique_ptr<PGcancel, FreeCancel> cancel(PQgetCancel(native()));
  std::array<char, 256> error{};
  if (cancel != nullptr) PQcancel(cancel.get(), error.data(), error.size());
  const Deadline deadline = Deadline::in(kCancelTimeMax);
  for (;;) {
    while (PQflush(native()) > 0 || PQisBusy(native()) != 0) {
      if (!state_->wait(POLLIN, deadline, false) ||
          PQconsumeInput(native()) == 0) {
        log::warn("pg", "session given up, a cancelled statement does not end",
                  "statement={}", statement_shown(sql));
        state_->conn.reset();
        throw ConnectionError("a cancelled statement does not end");
      }
    }
    PGresult* result = PQgetResult(native());
    if (result == nullptr) return;
    PQclear(result);
  }
}

std::vector<std::pair<std::string, std::string>> Connection::notifications() {
  if (PQconsumeInput(native()) == 0) throw_broken("reading notifications");
  std::vector<std::pair<std::string, std::string>> all;
  while (PGnotify* notify = PQnotifies(native())) {
    all.emplace_back(notify->relname, notify->extra);
    PQfreemem(notify);
  }
  return all;
}

bool Connection::wait_readable(Deadline deadline) {
  if (!state_->wait(POLLIN, deadline, true)) return false;
  // Of a session that the server ended, the socket stays readable.
  if (PQconsumeInput(native()) == 0) throw_broken("waiting");
  return true;
}

bool Connection::wait_socket(bool for_write, Deadline deadline) {
  return state_->wait(static_cast<short>(for_write ? POLLIN | POLLOUT : POLLIN),
                      deadline, true);
}

void Connection::obey(const std::stop_token& stop) {
  state_->stop = stop;
  state_->event.emplace(stop);
}

bool Connection::alive() const {
  return state_ != nullptr && state_->conn != nullptr &&
         PQstatus(native()) == CONNECTION_OK;
}

int Connection::server_version() const {
  return PQserverVersion(native());
}

int Connection::backend_pid() const {
  return PQbackendPID(native());
}

bool Connection::in_transaction() const {
  return PQtransactionStatus(native()) != PQTRANS_IDLE;
}

pg_conn* Connection::native() const {
  if (state_ == nullptr || state_->conn == nullptr) {
    throw ConnectionError("the session is closed");
  }
  return state_->conn.get();
}

void Connection::throw_broken(std::string_view doing) {
  throw ConnectionError(fmt::format("connection lost while {}: {}", doing,
                                    one_line(PQerrorMessage(native()))));
}

Transaction::Transaction(Connection& connection, Isolation isolation)
    : connection_(&connection) {
  connection.exec(isolation == Isolation::kRepeatableRead
                      ? "BEGIN ISOLATION LEVEL REPEATABLE READ"
                      : "BEGIN ISOLATION LEVEL READ COMMITTED");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    rollback();
  } catch (const std::exception& error) {
    // The server rolls back by itself once the session is gone.
    log::debug("pg", "rollback failed", "error={}", error.what());
  }
}

void Transaction::commit() {
  PGRECAST_ASSERT(open_, "commit of an ended transaction");
  open_ = false;
  try {
    // Not to be stopped: a COMMIT that was cancelled has happened or not, and
    // its answer would be thrown away.
    const Result result =
        connection_->cleanup("COMMIT", Deadline::in(kStatementTimeMax));
    if (result.command_tag() != "COMMIT") {
      throw Error("the server rolled back instead of committing",
                  Remedy::kRetryTransaction);
    }
  } catch (const ConnectionError& error) {
    throw CommitInDoubt(error.what());
  } catch (const TimedOut& error) {
    throw CommitInDoubt(error.what());
  } catch (const SqlError& error) {
    if (error.remedy() == Remedy::kReconnect) {
      throw CommitInDoubt(error.what());
    }
    throw;
  }
}

void Transaction::rollback() {
  open_ = false;
  if (connection_->alive()) connection_->cleanup("ROLLBACK");
}

}  // namespace pgrecast::pg
