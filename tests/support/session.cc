#include "support/session.h"

#include "pgrecast/base/error.h"

#include <array>
#include <poll.h>

namespace pgrecast::test {
namespace {

struct ResultCloser {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultCloser>;

void throw_if_failed(const Result& result, PGconn* conn) {
  switch (PQresultStatus(result.get())) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
      return;
    default: {
      const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
      throw SqlFailure(
          state == nullptr ? "" : state,
          result ? PQresultErrorMessage(result.get()) : PQerrorMessage(conn));
    }
  }
}

Rows rows_of(const Result& result) {
  Rows rows;
  const int row_count = PQntuples(result.get());
  const int column_count = PQnfields(result.get());
  for (int row = 0; row < row_count; ++row) {
    Row& values = rows.emplace_back();
    for (int column = 0; column < column_count; ++column) {
      values.emplace_back(PQgetisnull(result.get(), row, column) != 0
                              ? kNull
                              : PQgetvalue(result.get(), row, column));
    }
  }
  return rows;
}

// Notices go nowhere: they would only drown a failing test's output.
void ignore_notice(void* /*unused*/, const PGresult* /*notice*/) {}

}  // namespace

Session::Session(const std::string& dsn) : conn_(PQconnectdb(dsn.c_str())) {
  if (PQstatus(conn_.get()) != CONNECTION_OK) {
    throw SqlFailure("", PQerrorMessage(conn_.get()));
  }
  PQsetNoticeReceiver(conn_.get(), ignore_notice, nullptr);
}

Rows Session::run(const std::string& sql,
                  const std::vector<Parameter>& params) {
  std::vector<const char*> values;
  values.reserve(params.size());
  for (const Parameter& param : params) {
    values.push_back(param ? param->c_str() : nullptr);
  }
  const Result result(
      params.empty() ? PQexec(conn_.get(), sql.c_str())
                     : PQexecParams(conn_.get(), sql.c_str(),
                                    static_cast<int>(values.size()), nullptr,
                                    values.data(), nullptr, nullptr, 0));
  throw_if_failed(result, conn_.get());
  return rows_of(result);
}

std::string Session::only_value(const std::string& sql, const Rows& rows) {
  if (rows.size() != 1 || rows.front().size() != 1) {
    throw std::runtime_error(
        fmt::format("expected one value, got {} rows: {}", rows.size(), sql));
  }
  return rows.front().front();
}

void Session::send(const std::string& sql) {
  if (PQsendQuery(conn_.get(), sql.c_str()) != 1) {
    throw SqlFailure("", PQerrorMessage(conn_.get()));
  }
}

bool Session::busy() {
  if (PQconsumeInput(conn_.get()) != 1) {
    throw SqlFailure("", PQerrorMessage(conn_.get()));
  }
  return PQisBusy(conn_.get()) != 0;
}

Rows Session::wait(Deadline deadline) {
  Rows rows;
  std::optional<SqlFailure> failure;
  for (;;) {
    while (busy()) {
      if (deadline.passed()) throw TimedOut("a statement of the test");
      pollfd ready{.fd = PQsocket(conn_.get()), .events = POLLIN, .revents = 0};
      poll(&ready, 1, static_cast<int>(deadline.left().count()));
    }
    const Result result(PQgetResult(conn_.get()));
    if (!result) break;
    try {
      throw_if_failed(result, conn_.get());
      rows = rows_of(result);
    } catch (const SqlFailure& thrown) {
      failure = thrown;
    }
  }
  if (failure) throw SqlFailure(*failure);
  return rows;
}

void Session::cancel() {
  constexpr std::size_t kErrorBytes = 256;  // as the manual of PQcancel says
  std::array<char, kErrorBytes> error{};
  PGcancel* request = PQgetCancel(conn_.get());
  const int sent = PQcancel(request, error.data(), kErrorBytes);
  PQfreeCancel(request);
  if (sent != 1) throw SqlFailure("", error.data());
}

}  // namespace pgrecast::test
