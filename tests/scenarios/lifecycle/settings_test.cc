// What the script SETs holds wherever its rows are made, in a resumed run too.

#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <string>
#include <thread>

namespace pgrecast::test {
namespace {

// Changes rows all the time, in a column that the script leaves alone: each is
// made anew by a round, and the last of them under the exchange's lock.
class Writer {
 public:
  explicit Writer(const std::string& dsn) {
    thread_ = std::jthread([dsn](const std::stop_token& stop) {
      Session session(dsn);
      for (int i = 0; !stop.stop_requested(); ++i) {
        session.exec(fmt::format(
            "UPDATE orders SET amount = amount + 1 WHERE id % 97 = {}",
            i % 97));
        // A light load; nothing waits for this.
        std::this_thread::sleep_for(milliseconds(20));
      }
    });
  }

 private:
  std::jthread thread_;
};

class SettingsOfTheScript : public Lifecycle {
 protected:
  std::string wrong_rows() {
    return session().query_value(
        "SELECT count(*) FROM orders WHERE placed AT TIME ZONE 'Asia/Tokyo' "
        "<> '2026-01-01'");
  }
};

// The database's own time zone is another, and changes while nothing runs.
TEST_F(SettingsOfTheScript, HoldInCopyRefreshVerificationAndExchange) {
  const auto set_zone = [&](const std::string& zone) {
    superuser_session().exec(fmt::format(
        "ALTER DATABASE \"{}\" SET timezone = '{}'", database().name(), zone));
  };
  set_zone("Europe/Berlin");
  const std::string script = write_script(
      "orders",
      "SET TIME ZONE 'Asia/Tokyo'; SET app.tenant = 'it''s 1';\n"
      "ALTER TABLE orders ALTER COLUMN placed TYPE timestamptz,\n"
      "  ADD COLUMN since timestamp NOT NULL DEFAULT now();\n"
      "UPDATE orders SET since = now() + interval '1 day' WHERE id > 6000;");
  {
    const Writer writer(dsn());
    Program killed =
        start_script(script, {}, {"PGRECAST_STOP_AT=round:after_commit"});
    EXPECT_NE(killed.wait(), 0);
    EXPECT_EQ(session().query_value("SELECT settings->>'TimeZone' FROM "
                                    "pgrecast.migrations"),
              "Asia/Tokyo");
    set_zone("America/New_York");
    Program run = start_script(script);
    EXPECT_EQ(run.wait(), 0) << run.output();
  }

  EXPECT_EQ(wrong_rows(), "0");
  // now() is the same moment in rows that were made before and after.
  EXPECT_EQ(
      session().query_value("SELECT count(DISTINCT since) = 2 AND max(since) "
                            "- min(since) = '1 day' FROM orders"),
      "t");
}

// The index holds the rows that were put in under the memory that is asked for.
TEST_F(SettingsOfTheScript, GiveTheIndexBuildsTheirMemory) {
  session().exec(
      "CREATE FUNCTION memory(n bigint) RETURNS text IMMUTABLE LANGUAGE plpgsql"
      " AS $$ BEGIN RETURN current_setting('maintenance_work_mem'); END $$");
  const std::string script = write_script(
      "orders",
      "SET maintenance_work_mem = '77MB'; ALTER TABLE orders ALTER COLUMN id "
      "TYPE bigint; CREATE INDEX orders_memory ON orders (id) WHERE "
      "public.memory(id) = '77MB'");

  Program run = start_script(script);

  ASSERT_EQ(run.wait(), 0) << run.output();
  Session reader = session();
  reader.exec("SET enable_seqscan = off; SET enable_bitmapscan = off");
  // The index alone answers; the rows would deny it.
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM orders WHERE id > 0 AND "
                               "public.memory(id) = '77MB'"),
            "12000");
}

}  // namespace
}  // namespace pgrecast::test
