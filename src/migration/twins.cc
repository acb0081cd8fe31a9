#include "pgrecast/plan/twins.h"

#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/retry.h"

#include "context.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace pgrecast::migration {
namespace {

using plan::Twin;

std::vector<plan::TriedTable> shapes_of(const Context& context) {
  std::vector<plan::TriedTable> all;
  for (const plan::MigratedTable& table : context.tables) {
    plan::TriedTable one;
    one.source = table.target.source;
    one.shadow = table.target.shadow;
    one.shape.source = table.source.oid;
    one.shape.target = table.shadow_oid;
    one.shape.renamed = table.target.renamed;
    all.push_back(std::move(one));
  }
  return all;
}

// A definition cannot be read while a REFRESH runs, however long that takes.
constexpr const char* kShortLocks = "SET LOCAL lock_timeout = '1s'";

std::vector<Twin> read(Context& context) {
  std::vector<catalog::Reshaped> shapes;
  for (plan::TriedTable& table : shapes_of(context)) {
    shapes.push_back(std::move(table.shape));
  }
  pg::Connection& connection = *context.control;
  return pg::retried(connection, "reading the materialized views", [&] {
    pg::Transaction transaction(connection);
    connection.exec(kShortLocks);
    auto twins = plan::read_twins(connection, shapes);
    transaction.commit();
    return twins;
  });
}

bool same_making(const Twin& one, const Twin& other) {
  return one.original == other.original && one.made_by == other.made_by;
}

// All of them anew, empty: what a process before us left, too.
void make(Context& context, std::vector<Twin>& twins) {
  std::vector<std::string> schemas;
  const auto make_them = [&](pg::Connection& connection) {
    connection.exec(kShortLocks);
    schemas = context.record.schemas;
    for (const std::string& drop : twin_drops(connection, context.record)) {
      connection.exec(drop);
    }
    delete_twins(connection, context.record.name);
    auto refusals = plan::make_twins(connection, shapes_of(context),
                                     context.names, twins, schemas);
    if (!refusals.empty()) {
      std::vector<std::string> lines;
      for (Refusal& refusal : refusals)
        lines.push_back(std::move(refusal.what));
      throw exchange::ExchangeRefused(
          "what came to the table cannot be carried over", std::move(lines));
    }
    std::vector<catalog::Oid> oids;
    for (const Twin& twin : twins) {
      oids.push_back(
          catalog::find_relation(connection, twin.place.schema, twin.place.name)
              .value());
    }
    insert_twins(connection, context.record.name, oids, schemas);
    PGRECAST_SYNC_POINT("twins:made");
  };
  pg::retried(*context.control, "making twins of materialized views",
              [&] { context.write(make_them); });
  context.record.schemas = std::move(schemas);
}

// As its owner, under the settings of the script's expressions. Its policies
// are none of our own rows' affair.
void refresh(const Context& context, pg::Connection& connection,
             const Twin& twin) {
  const catalog::SourceGuard owner(
      ownership_query(context.record.name, context.epoch));
  pg::Transaction transaction(connection);
  owner.prove_ownership(connection);
  catalog::apply_resources(connection, context.record.settings);
  connection.exec("SET LOCAL row_security = on");
  connection.exec(
      fmt::format("REFRESH MATERIALIZED VIEW {}{}", twin.place.quoted(),
                  twin.populated ? "" : " WITH NO DATA"),
      {}, Deadline::never());
  PGRECAST_SYNC_POINT("twins:before_commit");
  transaction.commit();
}

void fill(Context& context, const Twin& twin) {
  const auto begin = Clock::now();
  context.show_waiting(
      fmt::format("materialized view {} to be filled", twin.name.display()));
  pg::Connection connection = context.open_data("twin", context.stop);
  try {
    pg::retried(connection, "filling a materialized view",
                [&] { refresh(context, connection, twin); });
  } catch (const pg::SqlError& error) {
    if (error.remedy() != Remedy::kFail) throw;
    throw exchange::ExchangeRefused(
        fmt::format("materialized view {} cannot be filled from the new table",
                    twin.name.display()),
        {error.what()});
  }
  if (twin.populated) {
    connection.exec("VACUUM (ANALYZE) " + twin.place.quoted(), {},
                    Deadline::never());
  }
  context.show_waiting("");
  log::info(
      "migration", "materialized view filled", "view={} took_ms={}",
      twin.name.display(),
      std::chrono::duration_cast<milliseconds>(Clock::now() - begin).count());
}

}  // namespace

void make_twins_ready(Context& context) {
  std::vector<Twin> now = read(context);
  std::vector<Twin> to_fill;
  const bool left_behind =
      context.twins.empty() &&
      !twin_drops(*context.control, context.record).empty();
  if (!left_behind && std::ranges::equal(context.twins, now, same_making)) {
    for (std::size_t i = 0; i < now.size(); ++i) {
      now[i].place = context.twins[i].place;
      if (now[i].refreshed != context.twins[i].refreshed) {
        to_fill.push_back(now[i]);
      }
    }
  } else {
    make(context, now);
    std::ranges::copy_if(now, std::back_inserter(to_fill), &Twin::materialized);
  }
  if (!to_fill.empty()) {
    // Not ours until they are filled: should that fail, they are made anew.
    context.twins.clear();
    // What the originals show was read before `now`, so before this last exact
    // round, whose state the shadow has until the next one.
    catch_up(context, true);
    PGRECAST_SYNC_POINT("twins:before_fill");
    for (const Twin& twin : to_fill) fill(context, twin);
    PGRECAST_SYNC_POINT("twins:filled");
  }
  context.twins = std::move(now);
}

}  // namespace pgrecast::migration
