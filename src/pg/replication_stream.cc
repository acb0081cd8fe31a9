#include "pgrecast/pg/replication_stream.h"

#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <utility>

namespace pgrecast::pg {
namespace {

constexpr auto kSendTimeMax = std::chrono::seconds(30);

// In a replication command a backslash is a character like any other, and E'..'
// is a syntax error.
std::string quote_for_replication(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace

void ReplicationStream::Payload::Free::operator()(char* bytes) const noexcept {
  PQfreemem(bytes);
}

ReplicationStream::ReplicationStream(Connection connection,
                                     const std::string& slot,
                                     const std::string& publication)
    : connection_(std::move(connection)) {
  connection_.exec(
      fmt::format("START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', "
                  "publication_names {}, messages 'true')",
                  quote_identifier(slot),
                  quote_for_replication(quote_identifier(publication))));
}

std::optional<ReplicationStream::Payload> ReplicationStream::try_receive() {
  PGconn* conn = connection_.native();
  constexpr int kAsync = 1;
  constexpr int kNothingYet = 0;
  constexpr int kEnded = -1;
  for (int attempt = 0; attempt < 2; ++attempt) {
    char* bytes = nullptr;
    const int size = PQgetCopyData(conn, &bytes, kAsync);
    if (size > 0) return Payload(bytes, size);
    if (size == kEnded) {
      // The server says why; without an error it ended the stream by itself.
      const Result result(PQgetResult(conn));
      if (!result.sqlstate().empty()) {
        result.throw_if_error("START_REPLICATION");
      }
      throw ConnectionError("the server ended the replication stream");
    }
    if (size != kNothingYet) connection_.throw_broken("reading the stream");
    if (PQconsumeInput(conn) == 0) {
      connection_.throw_broken("reading the stream");
    }
  }
  return std::nullopt;
}

void ReplicationStream::send(std::string_view payload) {
  PGconn* conn = connection_.native();
  const Deadline deadline = Deadline::in(kSendTimeMax);
  constexpr int kWouldBlock = 0;
  for (;;) {
    const int queued =
        PQputCopyData(conn, payload.data(), static_cast<int>(payload.size()));
    if (queued < 0) connection_.throw_broken("writing to the stream");
    if (queued != kWouldBlock) break;
    if (!connection_.wait_socket(true, deadline)) {
      throw TimedOut("the server does not read our status updates");
    }
  }
  for (;;) {
    const int unsent = PQflush(conn);
    if (unsent < 0) connection_.throw_broken("writing to the stream");
    if (unsent == 0) return;
    if (!connection_.wait_socket(true, deadline)) {
      throw TimedOut("the server does not read our status updates");
    }
  }
}

}  // namespace pgrecast::pg
