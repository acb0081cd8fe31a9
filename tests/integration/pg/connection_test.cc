#include "pgrecast/pg/connection.h"

#include "pgrecast/pg/array.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"

#include "support/test_database.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <stdexcept>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace pgrecast::pg {
namespace {

class ConnectionTest : public test::TestDatabase {
 protected:
  Connection open(const std::stop_token& stop = {}) {
    return Connection::open({.conninfo = dsn(), .application = "pgrecast m"},
                            "test", stop);
  }

  // Until the session executes something, which its own thread waits for.
  void wait_until_active(int pid) {
    ASSERT_TRUE(test::eventually([&] {
      return superuser_session().query_value(
                 "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND "
                 "state = 'active' AND query LIKE '%pg_sleep%'",
                 pid) == "1";
    }));
  }
};

TEST_F(ConnectionTest, StopEndsAStatementAtOnceAndTheSessionGoesOn) {
  std::stop_source stop;
  Connection connection = open(stop.get_token());
  Clock::time_point stopped;
  std::jthread stopper([&, pid = connection.backend_pid()] {
    wait_until_active(pid);
    stopped = Clock::now();
    stop.request_stop();
  });

  EXPECT_THROW(connection.exec("SELECT pg_sleep(60)"), Stopped);
  stopper.join();

  EXPECT_LT(Clock::now() - stopped, std::chrono::seconds(1));
  EXPECT_TRUE(connection.alive());
  EXPECT_EQ(connection.cleanup("SELECT 7").text(0, 0), "7");
  EXPECT_THROW(connection.exec("SELECT 1"), Stopped) << "stopped for good";
}

TEST_F(ConnectionTest, StopLeavesATransactionThatIsRolledBack) {
  std::stop_source stop;
  Connection connection = open(stop.get_token());
  session().exec("CREATE TABLE t (i int)");
  std::jthread stopper([&, pid = connection.backend_pid()] {
    wait_until_active(pid);
    stop.request_stop();
  });
  {
    Transaction transaction(connection);
    connection.exec("INSERT INTO public.t VALUES (1)");
    EXPECT_THROW(connection.exec("SELECT pg_sleep(60)"), Stopped);
  }
  EXPECT_FALSE(connection.in_transaction());
  EXPECT_EQ(session().query_value("SELECT count(*) FROM t"), "0");
}

TEST_F(ConnectionTest, CommitIsNotStopped) {
  std::stop_source stop;
  Connection connection = open(stop.get_token());
  session().exec("CREATE TABLE t (i int)");
  Transaction transaction(connection);
  connection.exec("INSERT INTO public.t VALUES (1)");
  stop.request_stop();

  transaction.commit();

  EXPECT_EQ(session().query_value("SELECT count(*) FROM t"), "1");
}

TEST_F(ConnectionTest, DeadlineEndsAStatementAndTheSessionGoesOn) {
  Connection connection = open();

  EXPECT_THROW(connection.exec("SELECT pg_sleep(60)", {},
                               Deadline::in(milliseconds(100))),
               TimedOut);

  EXPECT_EQ(connection.exec("SELECT 7").text(0, 0), "7");
}

TEST_F(ConnectionTest, TerminatedSessionIsToBeOpenedAnew) {
  Connection connection = open();
  superuser_session().exec("SELECT pg_terminate_backend($1, 10000)",
                           connection.backend_pid());
  try {
    connection.exec("SELECT 1");
    FAIL() << "the session is gone";
  } catch (const Error& error) {
    EXPECT_EQ(error.remedy(), Remedy::kReconnect) << error.what();
  }
  EXPECT_FALSE(connection.alive());
  EXPECT_THROW(connection.exec("SELECT 1"), ConnectionError);
}

TEST_F(ConnectionTest, TerminatedInTheMiddleOfAStatement) {
  Connection connection = open();
  std::jthread killer([&, pid = connection.backend_pid()] {
    wait_until_active(pid);
    superuser_session().exec("SELECT pg_terminate_backend($1)", pid);
  });
  try {
    connection.exec("SELECT pg_sleep(60)");
    FAIL() << "the session is gone";
  } catch (const Error& error) {
    EXPECT_EQ(error.remedy(), Remedy::kReconnect) << error.what();
  }
}

// A deferred trigger sleeps within COMMIT, so that the end of the session
// surely falls into it.
TEST_F(ConnectionTest, SessionThatEndsDuringCommitLeavesItInDoubt) {
  session().exec(
      "CREATE TABLE t (i int); CREATE FUNCTION slow() RETURNS trigger LANGUAGE "
      "plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'; CREATE "
      "CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
      "FOR EACH ROW EXECUTE FUNCTION slow()");
  Connection connection = open();
  Transaction transaction(connection);
  connection.exec("INSERT INTO public.t VALUES (1)");
  std::jthread killer([&, pid = connection.backend_pid()] {
    ASSERT_TRUE(test::eventually([&] {
      return superuser_session().query_value(
                 "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND "
                 "query = 'COMMIT' AND wait_event = 'PgSleep'",
                 pid) == "1";
    }));
    superuser_session().exec("SELECT pg_terminate_backend($1)", pid);
  });
  try {
    transaction.commit();
    FAIL() << "the answer is lost";
  } catch (const CommitInDoubt& doubt) {
    EXPECT_EQ(doubt.remedy(), Remedy::kAskOperator);
  }
  killer.join();
  EXPECT_EQ(session().query_value("SELECT count(*) FROM t"), "0");
}

TEST_F(ConnectionTest, RefusedCommitIsNoDoubt) {
  session().exec("CREATE TABLE t (i int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  Connection connection = open();
  Transaction transaction(connection);
  connection.exec("INSERT INTO public.t VALUES (1), (1)");

  try {
    transaction.commit();
    FAIL();
  } catch (const SqlError& error) {
    EXPECT_EQ(error.sqlstate(), sqlstate::kUniqueViolation);
    EXPECT_EQ(error.fields().constraint, "t_i_key");
    EXPECT_TRUE(error.blames_data());
  }
}

TEST_F(ConnectionTest, CommitOfAFailedTransactionIsAnError) {
  Connection connection = open();
  Transaction transaction(connection);
  EXPECT_THROW(connection.exec("SELECT 1/0"), SqlError);

  EXPECT_THROW(transaction.commit(), Error);
}

TEST_F(ConnectionTest, OwnSettingsWinOverThoseOfDatabaseAndRole) {
  for (const char* setting :
       {"statement_timeout = '1h'", "lock_timeout = '1h'",
        "idle_in_transaction_session_timeout = '1h'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "synchronous_commit = remote_apply", "search_path = public",
        "row_security = on", "bytea_output = escape", "datestyle = 'SQL, DMY'",
        "timezone = 'Asia/Tokyo'", "extra_float_digits = 0",
        "intervalstyle = iso_8601", "jit = on",
        "default_tablespace = elsewhere", "quote_all_identifiers = on"}) {
    const bool of_role = std::string(setting).size() % 2 == 0;
    superuser_session().exec(fmt::format(
        "ALTER {} {} SET {}", of_role ? "ROLE" : "DATABASE",
        quote_identifier(of_role ? database().role() : database().name()),
        setting));
  }
  Connection connection = open();
  const auto show = [&](const std::string& setting) {
    return std::string(connection.exec("SHOW " + setting).text(0, 0));
  };

  EXPECT_EQ(show("statement_timeout"), "0");
  EXPECT_EQ(show("lock_timeout"), "0");
  EXPECT_EQ(show("idle_in_transaction_session_timeout"), "1min");
  EXPECT_EQ(show("default_transaction_isolation"), "read committed");
  EXPECT_EQ(show("transaction_isolation"), "read committed");
  EXPECT_EQ(show("transaction_read_only"), "off");
  EXPECT_EQ(show("synchronous_commit"), "local");
  EXPECT_EQ(show("search_path"), "\"\"");
  EXPECT_EQ(show("row_security"), "off");
  EXPECT_EQ(show("bytea_output"), "hex");
  EXPECT_EQ(show("datestyle"), "ISO, YMD");
  EXPECT_EQ(show("timezone"), "UTC");
  EXPECT_EQ(show("jit"), "off");
  EXPECT_EQ(show("default_tablespace"), "");
  EXPECT_EQ(show("quote_all_identifiers"), "off");
  EXPECT_EQ(show("application_name"), "pgrecast m test");
}

TEST_F(ConnectionTest, SettingsAreThoseOfAReplicationSessionToo) {
  for (const char* setting :
       {"datestyle = 'SQL, DMY'", "timezone = 'Asia/Tokyo'",
        "statement_timeout = '1h'"}) {
    superuser_session().exec(fmt::format("ALTER DATABASE {} SET {}",
                                         quote_identifier(database().name()),
                                         setting));
  }
  Connection stream =
      Connection::open({.conninfo = dsn(), .application = "pgrecast"}, "stream",
                       {}, Connection::Kind::kReplication);

  EXPECT_EQ(stream.exec("SHOW timezone").text(0, 0), "UTC");
  EXPECT_EQ(stream.exec("SHOW datestyle").text(0, 0), "ISO, YMD");
  EXPECT_EQ(stream.exec("SHOW statement_timeout").text(0, 0), "0");
}

// Those of a TCP socket by which its dead peer is found, in the kernel's units.
std::array<int, 5> tcp_options_of(int fd) {
  const std::array<std::pair<int, int>, 5> names = {
      {{SOL_SOCKET, SO_KEEPALIVE},
       {IPPROTO_TCP, TCP_KEEPIDLE},
       {IPPROTO_TCP, TCP_KEEPINTVL},
       {IPPROTO_TCP, TCP_KEEPCNT},
       {IPPROTO_TCP, TCP_USER_TIMEOUT}}};
  std::array<int, 5> values{};
  for (std::size_t i = 0; i < names.size(); ++i) {
    socklen_t size = sizeof(int);
    getsockopt(fd, names.at(i).first, names.at(i).second, &values.at(i), &size);
  }
  return values;
}

// On both ends, and whichever session it is. What the connection string says
// counts more than what we think.
TEST_F(ConnectionTest, APeerThatDiesSilentlyIsFoundByEverySession) {
  const test::PgCluster server(
      test::PgCluster::Settings{{"listen_addresses", "127.0.0.1"},
                                {"port", test::PgCluster::free_port()}});
  const auto open_tcp = [&](Connection::Kind kind, const std::string& more) {
    return Connection::open({.conninfo = fmt::format("{} hostaddr=127.0.0.1 {}",
                                                     server.dsn(), more),
                             .application = "m"},
                            "test", {}, kind);
  };
  for (const auto kind :
       {Connection::Kind::kSql, Connection::Kind::kReplication}) {
    Connection ours = open_tcp(kind, "");
    EXPECT_EQ(tcp_options_of(PQsocket(ours.native())),
              (std::array<int, 5>{1, 10, 5, 3, 30000}));
    EXPECT_EQ(ours.exec("SHOW tcp_keepalives_idle").text(0, 0), "10");
    EXPECT_EQ(ours.exec("SHOW tcp_keepalives_interval").text(0, 0), "5");
    EXPECT_EQ(ours.exec("SHOW tcp_keepalives_count").text(0, 0), "3");
    if (kind == Connection::Kind::kReplication) {
      EXPECT_EQ(ours.exec("SHOW tcp_user_timeout").text(0, 0), "30000");
    }

    const Connection theirs = open_tcp(
        kind, "tcp_user_timeout=7000 keepalives_idle=2 keepalives_count=9");
    EXPECT_EQ(tcp_options_of(PQsocket(theirs.native())),
              (std::array<int, 5>{1, 2, 5, 9, 7000}));
  }
}

TEST_F(ConnectionTest, PasswordIsInNoMessage) {
  for (const char* parts :
       {"host=/nonexistent password=s3cret dbname=x",
        "postgresql://u:s3cret@localhost:1/x",
        "postgresql://u:s3cret@localhost:nonsense/x", "password='s3cret host=x",
        "password=s3cret host=/tmp nonsense=s3cret"}) {
    try {
      Connection::open({.conninfo = parts, .application = "t"}, "t", {});
      FAIL() << parts;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("s3cret")));
    }
  }
  try {
    Connection::open({.conninfo = dsn() + " user=nobody password=s3cret",
                      .application = "t"},
                     "t", {});
    FAIL();
  } catch (const ConnectionError& error) {
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("s3cret")));
  }
}

TEST_F(ConnectionTest, StopEndsAnAttemptToConnect) {
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THROW(open(stop.get_token()), Stopped);
}

TEST_F(ConnectionTest, NotificationsWakeAWaitingSession) {
  Connection connection = open();
  connection.exec("LISTEN \"a b\"");
  session().exec("NOTIFY \"a b\", 'payload'");

  ASSERT_TRUE(connection.wait_readable(Deadline::in(test::kPatience)));

  EXPECT_THAT(connection.notifications(),
              testing::ElementsAre(testing::Pair("a b", "payload")));
  EXPECT_FALSE(connection.wait_readable(Deadline::in(milliseconds(1))));
}

TEST_F(ConnectionTest, ParametersOfEveryKind) {
  Connection connection = open();

  const Result result = connection.exec(
      "SELECT $1::text, $2::int8, $3::boolean, $4::text IS NULL, $5::text",
      {"a'b", -5, true, std::nullopt, std::optional<std::string>("x")});

  EXPECT_EQ(result.text(0, 0), "a'b");
  EXPECT_EQ(result.number<std::int64_t>(0, 1), -5);
  EXPECT_TRUE(result.boolean(0, 2));
  EXPECT_TRUE(result.boolean(0, 3));
  EXPECT_EQ(result.optional_text(0, 4), "x");
  EXPECT_THROW(result.number<int>(0, 0), ProtocolError);
}

TEST_F(ConnectionTest, ErrorsSayWhatToDo) {
  Connection connection = open();
  const auto error_of = [&](const std::string& sql) -> SqlError {
    try {
      connection.exec(sql);
    } catch (const SqlError& error) {
      return error;
    }
    throw std::runtime_error("no error");
  };
  const auto raise = [](const std::string& state) {
    return "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '" + state +
           "', DETAIL = 'row', HINT = 'do'; END $$";
  };

  for (const char* state : {"40001", "40P01", "55P03"}) {
    EXPECT_EQ(error_of(raise(state)).remedy(), Remedy::kRetryTransaction);
  }
  for (const char* state : {"08006", "57P01", "57P02", "57P03"}) {
    EXPECT_EQ(error_of(raise(state)).remedy(), Remedy::kReconnect);
  }
  const SqlError plain = error_of(raise("22001"));
  EXPECT_EQ(plain.remedy(), Remedy::kFail);
  EXPECT_TRUE(plain.blames_data());
  EXPECT_FALSE(error_of(raise("42501")).blames_data());
  EXPECT_EQ(plain.fields().detail, "row");
  EXPECT_EQ(plain.fields().hint, "do");
  EXPECT_THAT(plain.what(), testing::Not(testing::HasSubstr("row")))
      << "details hold values of rows";
}

// Any text that a UTF-8 database can hold.
rc::Gen<std::string> any_text() {
  const auto character = rc::gen::weightedOneOf<std::string>(
      {{8, rc::gen::elementOf(std::vector<std::string>{
               "'",  "\"", "\\", "{",    "}",    ",", " ", "NULL", "$1", "E'",
               "--", "\n", "\t", "\x01", "\x7f", "%", "a", "Z",    "0",  "_"})},
       {2, rc::gen::elementOf(std::vector<std::string>{
               "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x98", "\xc2\xa0"})}});
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(character),
                      [](const std::vector<std::string>& parts) {
                        return fmt::format("{}", fmt::join(parts, ""));
                      });
}

test::Session& shared_session() {
  static test::Session session = test::SharedCluster::get().session();
  return session;
}

RC_GTEST_PROP(Quoting, LiteralIsTheTextAgain, ()) {
  const std::string text = *any_text();
  for (const char* conforming : {"on", "off"}) {
    shared_session().exec(std::string("SET standard_conforming_strings = ") +
                          conforming + "; SET backslash_quote = off");
    RC_ASSERT(shared_session().query_value("SELECT " + quote_literal(text)) ==
              text);
  }
  shared_session().exec("RESET standard_conforming_strings");
}

RC_GTEST_PROP(Quoting, IdentifierIsWhatTheServerQuotes, ()) {
  const std::string text =
      *rc::gen::suchThat(any_text(), [](const std::string& name) {
        return !name.empty() && name.size() <= 63;
      });
  // The server leaves quotes out where it can: compare what is understood.
  RC_ASSERT(shared_session().query_value(
                "SELECT " + quote_literal(quote_identifier(text)) +
                    " = quote_ident($1) OR quote_ident($1) = $1",
                text) == "t");
  RC_ASSERT(shared_session().query_value("SELECT (parse_ident($1))[2]",
                                         quote_qualified("a\"b", text)) ==
            text);
  shared_session().exec("PREPARE " + quote_identifier(text) + " AS SELECT 1");
  RC_ASSERT(shared_session().query_value(
                "SELECT count(*) FROM pg_prepared_statements WHERE name = $1",
                text) == "1");
  shared_session().exec("DEALLOCATE " + quote_identifier(text));
}

RC_GTEST_PROP(Quoting, ArrayIsTheElementsAgain, ()) {
  static auto connection = Connection::open(
      {.conninfo = test::SharedCluster::get().dsn(), .application = "t"}, "t",
      {});
  const auto elements =
      *rc::gen::container<std::vector<std::string>>(any_text());
  RC_ASSERT(array_elements(connection, array_literal(elements)) == elements);
}

}  // namespace
}  // namespace pgrecast::pg
