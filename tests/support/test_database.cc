#include "support/test_database.h"

#include <atomic>

namespace pgrecast::test {
namespace {

// Unique in this program, and thereby in its clusters. A dash, since a name
// that needs no quotes would hide forgotten ones.
std::string next_name() {
  static std::atomic<int> last{0};
  return fmt::format("test-{}", ++last);
}

void drop_slots_left(Session& superuser, const std::string& database) {
  const Rows slots = superuser.query_rows(
      "SELECT slot_name, coalesce(active_pid, 0) FROM pg_replication_slots "
      "WHERE database = $1",
      database);
  for (const Row& slot : slots) {
    ADD_FAILURE() << "replication slot " << slot[0] << " is left behind";
    superuser.exec("SELECT pg_terminate_backend($1) WHERE $1::int > 0",
                   slot[1]);
    const bool dropped = eventually([&] {
      return superuser.try_exec("SELECT pg_drop_replication_slot($1)",
                                slot[0]) == kSuccess;
    });
    EXPECT_TRUE(dropped) << slot[0];
  }
}

void roll_back_prepared(const Database& database) {
  Session superuser = database.superuser_session();
  const Rows prepared = superuser.query_rows(
      "SELECT quote_literal(gid) FROM pg_prepared_xacts "
      "WHERE database = current_database()");
  for (const Row& transaction : prepared) {
    superuser.exec("ROLLBACK PREPARED " + transaction[0]);
  }
}

}  // namespace

Database::Database(PgCluster& cluster, const std::string& encoding)
    : cluster_(cluster), name_(next_name()), role_(name_ + "-owner") {
  Session superuser = cluster_.session();
  superuser.exec(fmt::format(
      R"(CREATE ROLE "{}" LOGIN REPLICATION NOSUPERUSER IN ROLE pg_monitor)",
      role_));
  // Rather than through the WAL, page by page: a quarter of the time.
  std::string how = cluster_.version() < 15 ? "" : "STRATEGY file_copy";
  if (encoding != "UTF8") {
    how +=
        fmt::format(" ENCODING '{}' TEMPLATE template0 LOCALE 'C'", encoding);
  }
  superuser.exec(
      fmt::format(R"(CREATE DATABASE "{}" OWNER "{}" {})", name_, role_, how));
  superuser_session().exec(
      fmt::format(R"(ALTER SCHEMA public OWNER TO "{}")", role_));
}

Database::~Database() {
  try {
    drop();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "database " << name_
                  << " is left behind: " << error.what();
  }
}

void Database::drop() {
  if (dropped_) return;
  dropped_ = true;
  if (!cluster_.running()) return;
  Session superuser = cluster_.session();
  drop_slots_left(superuser, name_);
  roll_back_prepared(*this);
  superuser.exec(fmt::format(R"(DROP DATABASE "{}" WITH (FORCE))", name_));
  superuser.exec(fmt::format(R"(DROP ROLE "{}")", role_));
}

}  // namespace pgrecast::test
