#pragma once

#include "pgrecast/base/deadline.h"

#include "support/eventually.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <concepts>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace pgrecast::test {

// The server refused a statement of a test.
class SqlFailure : public std::runtime_error {
 public:
  SqlFailure(const std::string& sqlstate, const std::string& message)
      : std::runtime_error(sqlstate + ": " + message), sqlstate_(sqlstate) {}

  // Empty where the connection broke.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  std::string sqlstate_;
};

// Every value as the server prints it; NULL is kNull.
using Row = std::vector<std::string>;
using Rows = std::vector<Row>;
inline constexpr const char* kNull = "(null)";

// What try_exec says when nothing went wrong.
inline constexpr const char* kSuccess = "00000";

// A test's own connection, independent of the layer under test. Belongs to one
// thread; closed by the destructor.
//
// Without parameters a text may hold several statements (one implicit
// transaction); with parameters ($1, $2, ..) exactly one. Everything throws
// SqlFailure.
class Session {
 public:
  // `dsn`: libpq's connection string.
  explicit Session(const std::string& dsn);

  template <typename... Params>
  void exec(const std::string& sql, const Params&... params) {
    run(sql, {parameter(params)...});
  }

  // SQLSTATE of what went wrong, kSuccess where nothing did.
  template <typename... Params>
  std::string try_exec(const std::string& sql, const Params&... params) {
    try {
      run(sql, {parameter(params)...});
      return kSuccess;
    } catch (const SqlFailure& failure) {
      return failure.sqlstate();
    }
  }

  template <typename... Params>
  Rows query_rows(const std::string& sql, const Params&... params) {
    return run(sql, {parameter(params)...});
  }

  // The only column of the only row. Throws std::runtime_error for more.
  template <typename... Params>
  std::string query_value(const std::string& sql, const Params&... params) {
    return only_value(sql, run(sql, {parameter(params)...}));
  }

  // Starts `sql` and returns at once; nothing else may be run before wait().
  void send(const std::string& sql);

  // Whether what was sent is still being executed.
  bool busy();

  // The rows of what was sent. Throws TimedOut where the deadline passes first
  // (the statement goes on, and may be waited for again).
  Rows wait(Deadline deadline = Deadline::in(kPatience));

  // Asks the server to end the statement that runs; wait() then throws 57014.
  void cancel();

  // The server's process that serves this session.
  int backend_pid() const { return PQbackendPID(conn_.get()); }

  PGconn* native() { return conn_.get(); }

 private:
  using Parameter = std::optional<std::string>;

  template <typename T>
  static Parameter parameter(const T& value) {
    if constexpr (std::is_same_v<T, std::nullopt_t>) {
      return std::nullopt;
    } else if constexpr (std::is_same_v<T, bool>) {
      return value ? "t" : "f";
    } else if constexpr (std::is_convertible_v<T, Parameter>) {
      return value;
    } else {
      return fmt::format("{}", value);
    }
  }

  Rows run(const std::string& sql, const std::vector<Parameter>& params);
  static std::string only_value(const std::string& sql, const Rows& rows);

  struct Closer {
    void operator()(PGconn* conn) const noexcept { PQfinish(conn); }
  };
  std::unique_ptr<PGconn, Closer> conn_;
};

}  // namespace pgrecast::test
