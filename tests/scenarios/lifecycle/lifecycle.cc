#include "scenarios/lifecycle/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <system_error>

namespace pgrecast::test {
namespace {

// Few rows a block, so that a small table has several chunks (256 blocks at
// first).
constexpr const char* kSchema = R"sql(
CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 10) n;
CREATE TABLE orders (
  id serial PRIMARY KEY,
  customer integer NOT NULL REFERENCES customers,
  code varchar(20) NOT NULL,
  amount numeric NOT NULL,
  placed timestamp NOT NULL DEFAULT '2026-01-01',
  legacy text) WITH (fillfactor = 10);
INSERT INTO orders
  SELECT n, n % 10 + 1, 'c' || n, n % 977, timestamp '2026-01-01', 'old'
  FROM generate_series(1, 12000) n;
SELECT setval('orders_id_seq', 12000);
CREATE UNIQUE INDEX orders_code_key ON orders (code);
CREATE INDEX orders_customer_idx ON orders (customer);
CREATE TABLE lines (
  order_id bigint NOT NULL REFERENCES orders, line integer NOT NULL);
INSERT INTO lines SELECT n, 1 FROM generate_series(1, 50) n;
CREATE VIEW turnover AS
  SELECT customer, sum(amount) AS amount FROM orders GROUP BY customer;
CREATE FUNCTION leave_alone() RETURNS trigger LANGUAGE plpgsql
  AS 'BEGIN RETURN new; END';
CREATE TRIGGER touched AFTER UPDATE ON orders FOR EACH ROW
  EXECUTE FUNCTION leave_alone();
COMMENT ON TABLE orders IS 'what customers want';
GRANT SELECT ON orders TO PUBLIC;
CREATE TABLE orders_twin (
  id integer PRIMARY KEY, customer integer, code varchar(20), amount numeric,
  placed timestamp);
INSERT INTO orders_twin SELECT id, customer, code, amount, placed FROM orders;
ANALYZE customers, orders, lines, orders_twin)sql";

constexpr const char* kScript = R"sql(
ALTER TABLE orders
  ALTER COLUMN id TYPE bigint,
  ALTER COLUMN code TYPE text,
  DROP COLUMN legacy,
  ADD COLUMN state text NOT NULL DEFAULT 'new';
CREATE INDEX orders_amount_idx ON orders (amount);
)sql";

constexpr int kRowsAtFirst = 12000;
// Below, rows that table lines refers to.
constexpr int kFirstFreeId = 100;

std::vector<std::string> first_column(const Rows& rows) {
  std::vector<std::string> lines;
  lines.reserve(rows.size());
  for (const Row& row : rows) lines.push_back(row.at(0));
  std::ranges::sort(lines);
  return lines;
}

}  // namespace

Load::Load(const std::string& dsn) {
  thread_ = std::jthread(
      [this, dsn](const std::stop_token& stop) { work(dsn, stop); });
}

void Load::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Load::work(const std::string& dsn, const std::stop_token& stop) {
  std::mt19937 random(42);  // NOLINT(cert-msc51-cpp): the same for every run
  std::unique_ptr<Session> session;
  while (!stop.stop_requested()) {
    try {
      if (!session) session = std::make_unique<Session>(dsn);
      if (one_transaction(*session, static_cast<unsigned>(random()))) {
        ++transactions_;
      }
    } catch (const std::exception&) {  // the server is down
      session.reset();
    }
    // A light load; nothing waits for this.
    std::this_thread::sleep_for(milliseconds(2));
  }
}

bool Load::one_transaction(Session& session, unsigned random) {
  const auto id = kFirstFreeId +
                  static_cast<int>(random / 8) % (kRowsAtFirst - kFirstFreeId);
  const int fresh = next_id_++;
  std::string both;
  for (const char* table : {"orders", "orders_twin"}) {
    switch (random % 8) {
      case 0:
      case 1:
        both += fmt::format(
            "INSERT INTO {} (id, customer, code, amount, placed) VALUES "
            "({}, {}, 'n{}', {}, '2026-02-02');",
            table, fresh, id % 10 + 1, fresh, random % 1000);
        break;
      case 2:
        both += fmt::format("DELETE FROM {} WHERE id = {};", table, id);
        break;
      case 3:  // the key moves, and back to a number that was deleted
        both += fmt::format("UPDATE {} SET id = {} WHERE id = {};", table,
                            fresh, id);
        break;
      case 4:
        both += fmt::format("UPDATE {} SET code = 'u{}' WHERE id = {};", table,
                            fresh, id);
        break;
      default:
        both += fmt::format("UPDATE {} SET amount = amount + 1 WHERE id = {};",
                            table, id);
    }
  }
  const std::string state = session.try_exec(both);
  if (state.empty()) throw std::runtime_error("the session broke");
  return state == kSuccess;
}

Lifecycle::Lifecycle() : folder_("/tmp/pgrecast-lifecycle-XXXXXX") {
  if (mkdtemp(folder_.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in /tmp");
  }
}

Lifecycle::~Lifecycle() {
  load_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Lifecycle::SetUp() {
  session().exec(kSchema);
  script_ = write_script("orders", kScript);
}

std::string Lifecycle::write_script(const std::string& name,
                                    const std::string& sql) {
  const std::string path = folder_ + "/" + name + ".sql";
  std::ofstream(path) << sql;
  return path;
}

Program Lifecycle::start(const Texts& options, const Texts& environment) {
  return start_script(script_, options, environment);
}

Program Lifecycle::start_script(const std::string& script, const Texts& options,
                                const Texts& environment) {
  Texts arguments{"run",         "--dsn",       dsn(),   script,
                  "--state-dir", state_dir(),   "--yes", "--progress",
                  "none",        "--log-level", "debug"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return Program(arguments, environment);
}

void Lifecycle::expect_run(int code, const std::string& text,
                           const std::string& script, const Texts& options) {
  Program run = start_script(script, options);
  EXPECT_EQ(run.wait(), code) << run.output();
  EXPECT_NE(run.output().find(text), std::string::npos) << run.output();
}

int Lifecycle::command(const Texts& arguments, std::string* output) {
  Program program(arguments);
  const int code = program.wait();
  if (output != nullptr) *output = program.output();
  return code;
}

void Lifecycle::resume(const Texts& options) {
  Program run = start(options);
  EXPECT_EQ(run.wait(), 0) << run.output();
}

void Lifecycle::stop_load() {
  if (!load_) return;
  load_->stop();
  EXPECT_GT(load_->transactions(), 0);
  load_.reset();
}

void Lifecycle::expect_migrated() {
  stop_load();

  Session owner = session();
  EXPECT_EQ(owner.query_value(
                "SELECT string_agg(attname || ' ' || format_type(atttypid, "
                "atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE "
                "attrelid = 'public.orders'::regclass AND attnum > 0 AND NOT "
                "attisdropped"),
            "id bigint, customer integer, code text, amount numeric, placed "
            "timestamp without time zone, state text");
  const Rows differences = owner.query_rows(
      "WITH expected AS (SELECT id::bigint, customer, code::text, amount,"
      "   placed, 'new' AS state FROM orders_twin),"
      " present AS (SELECT id, customer, code, amount, placed, state"
      "   FROM orders)"
      " (SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE present) m)"
      " UNION ALL"
      " (SELECT 'too much', * FROM (TABLE present EXCEPT ALL TABLE expected) t)"
      " LIMIT 10");
  for (const Row& row : differences) {
    ADD_FAILURE() << row[0] << ": id=" << row[1] << " code=" << row[3]
                  << " amount=" << row[4];
  }
}

std::string Lifecycle::phase(const std::string& name) {
  Session superuser = superuser_session();
  if (superuser.query_value("SELECT to_regclass('pgrecast.migrations') IS "
                            "NULL") == "t") {
    return "";
  }
  const Rows rows = superuser.query_rows(
      "SELECT phase FROM pgrecast.migrations WHERE name = $1", name);
  return rows.empty() ? "" : rows[0][0];
}

std::vector<std::string> exact_inventory(const Database& database) {
  // The catalogs' rows as they are, less what changes without anybody's DDL.
  constexpr const char* kCounters =
      " - 'relpages' - 'reltuples' - 'relallvisible' - 'relfrozenxid' - "
      "'relminmxid'";
  Session superuser = database.superuser_session();
  std::string query;
  for (const char* catalog : {"pg_class",
                              "pg_attribute",
                              "pg_attrdef",
                              "pg_constraint",
                              "pg_index",
                              "pg_trigger",
                              "pg_rewrite",
                              "pg_policy",
                              "pg_depend",
                              "pg_description",
                              "pg_publication",
                              "pg_publication_rel",
                              "pg_publication_namespace",
                              "pg_namespace",
                              "pg_statistic_ext",
                              "pg_sequence",
                              "pg_default_acl",
                              "pg_event_trigger",
                              "pg_init_privs",
                              "pg_seclabel",
                              "pg_inherits",
                              "pg_enum",
                              "pg_extension",
                              "pg_cast",
                              "pg_collation",
                              "pg_operator",
                              "pg_opclass",
                              "pg_language",
                              "pg_transform",
                              "pg_subscription",
                              "pg_db_role_setting",
                              "pg_roles",
                              "pg_auth_members",
                              "pg_sequences",
                              "pg_largeobject_metadata",
                              "pg_partitioned_table"}) {
    // PostgreSQL 14 has not all of them.
    if (superuser.query_value("SELECT to_regclass($1) IS NULL",
                              fmt::format("pg_catalog.{}", catalog)) == "t") {
      continue;
    }
    query += fmt::format(
        "SELECT '{0} ' || (to_jsonb(c){1})::text FROM pg_catalog.{0} c UNION "
        "ALL ",
        catalog, kCounters);
  }
  for (const char* catalog : {"pg_proc", "pg_type"}) {
    query += fmt::format(
        "SELECT '{0} ' || to_jsonb(c)::text FROM pg_catalog.{0} c WHERE oid >= "
        "16384 UNION ALL ",
        catalog);
  }
  query +=
      "SELECT 'pg_shdepend ' || to_jsonb(c)::text FROM pg_shdepend c WHERE "
      "dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
      " UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots"
      " WHERE database = current_database()"
      " UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts"
      " WHERE database = current_database()";
  return first_column(superuser.query_rows(query));
}

std::vector<std::string> named_inventory(const Database& database) {
  return first_column(database.superuser_session().query_rows(R"sql(
WITH ours AS (
  SELECT * FROM pg_class WHERE oid >= 16384 AND relkind <> 't'
   AND relnamespace <> 'pg_toast'::regnamespace)
SELECT format('namespace %s %s %s', nspname, nspowner::regrole, nspacl)
 FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
UNION ALL
SELECT format('relation %s %s %s %s %s %s %s %s', oid::regclass, relkind,
  relowner::regrole, (SELECT string_agg(a::text, ' ' ORDER BY a::text)
  FROM unnest(relacl) a), reloptions, relreplident, relrowsecurity,
  obj_description(oid, 'pg_class')) FROM ours
UNION ALL
SELECT format('column %s %s %s %s %s %s %s', a.attrelid::regclass, a.attname,
  format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attacl,
  pg_get_expr(d.adbin, d.adrelid))
 FROM pg_attribute a JOIN ours ON ours.oid = a.attrelid LEFT JOIN pg_attrdef d
  ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND ours.relkind <> 'i'
UNION ALL
SELECT format('index %s %s %s %s %s', pg_get_indexdef(indexrelid), indisvalid,
  indisprimary, indisclustered, indisreplident)
 FROM pg_index JOIN ours ON ours.oid = indexrelid
UNION ALL
SELECT format('constraint %s %s %s %s', conrelid::regclass, conname,
  pg_get_constraintdef(oid), convalidated)
 FROM pg_constraint WHERE oid >= 16384
UNION ALL
SELECT format('trigger %s %s', pg_get_triggerdef(oid), tgenabled)
 FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT format('rule %s', pg_get_ruledef(oid)) FROM pg_rewrite
 WHERE oid >= 16384
UNION ALL
SELECT format('function %s', oid::regprocedure) FROM pg_proc WHERE oid >= 16384
UNION ALL
SELECT format('sequence %s %s', s.seqrelid::regclass, s.seqincrement)
 FROM pg_sequence s
UNION ALL
SELECT format('value %s %s', sequencename, last_value) FROM pg_sequences
UNION ALL
SELECT format('publication %s', pubname) FROM pg_publication
UNION ALL
SELECT format('published %s', prrelid::regclass) FROM pg_publication_rel
UNION ALL
SELECT format('slot %s', slot_name) FROM pg_replication_slots
 WHERE database = current_database()
UNION ALL
SELECT format('dependency %s -> %s %s',
  pg_describe_object(classid, objid, objsubid),
  pg_describe_object(refclassid, refobjid, refobjsubid), deptype)
 FROM pg_depend WHERE objid >= 16384
  AND pg_describe_object(classid, objid, objsubid) !~ 'pg_toast|RI_Constraint'
  AND pg_describe_object(refclassid, refobjid, refobjsubid) !~ 'pg_toast'
)sql"));
}

std::vector<std::string> difference(const std::vector<std::string>& before,
                                    const std::vector<std::string>& after) {
  std::vector<std::string> gone;
  std::vector<std::string> come;
  std::ranges::set_difference(before, after, std::back_inserter(gone));
  std::ranges::set_difference(after, before, std::back_inserter(come));
  std::vector<std::string> lines;
  for (const std::string& line : gone) lines.push_back("- " + line);
  for (const std::string& line : come) lines.push_back("+ " + line);
  return lines;
}

::testing::AssertionResult no_session_left(const Database& database) {
  Session superuser = database.superuser_session();
  const auto left = [&] {
    return superuser.query_value(
        "SELECT coalesce(string_agg(application_name, ', '), '') FROM "
        "pg_stat_activity WHERE datname = current_database() AND "
        "application_name LIKE 'pgrecast%'");
  };
  if (eventually([&] { return left().empty(); })) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "sessions are left: " << left();
}

bool nothing_in(const std::string& folder) {
  return !std::filesystem::exists(folder) || std::filesystem::is_empty(folder);
}

}  // namespace pgrecast::test
