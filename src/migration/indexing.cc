#include "pgrecast/base/log.h"
#include "pgrecast/base/sync_point.h"
#include "pgrecast/base/thread_group.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/copy/copier.h"
#include "pgrecast/migration/cleanup.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/partitions.h"

#include "context.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace pgrecast::migration {
namespace {

// Of verification, before the indexes of other constraints than the key's.
constexpr int kPassesMax = 3;

struct IndexJob {
  const plan::MigratedTable* table;
  const plan::ShadowIndex* index;
};

bool is_built(pg::Connection& connection, const IndexJob& job) {
  return catalog::find_relation(connection, job.table->target.shadow.schema,
                                job.index->name)
      .has_value();
}

// All or nothing, so that an index that is there after a crash is whole.
void build(const Context& context, pg::Connection& connection,
           const IndexJob& job) {
  const auto begin = Clock::now();
  const catalog::SourceGuard owner(
      ownership_query(context.record.name, context.epoch));
  try {
    pg::Transaction transaction(connection);
    owner.prove_ownership(connection);
    catalog::apply_resources(connection, context.record.settings);
    connection.exec(job.index->create.empty() ? job.index->constraint.value()
                                              : job.index->create,
                    {}, Deadline::never());
    PGRECAST_SYNC_POINT("index:before_commit");
    transaction.commit();
  } catch (const pg::SqlError& error) {
    if (!error.blames_data()) throw;
    throw copy::DataRejected(
        fmt::format("index {} of {} cannot be built: {}", job.index->name,
                    job.table->target.source.display(), error.what()),
        {error.fields().detail});
  }
  log::info(
      "migration", "index built", "table={} index={} took_ms={}",
      job.table->target.source.display(), job.index->name,
      std::chrono::duration_cast<milliseconds>(Clock::now() - begin).count());
}

// What makes the index a constraint's, comments and marks. One index after the
// other: each of these statements needs a stronger lock than the one by which
// indexes are built side by side, and two that build and then ask for more
// would deadlock. Takes no time, and does no harm when it is repeated.
void complete(const Context& context, pg::Connection& connection,
              const IndexJob& job) {
  const catalog::SourceGuard owner(
      ownership_query(context.record.name, context.epoch));
  pg::Transaction transaction(connection);
  owner.prove_ownership(connection);
  const bool is_constraint =
      !connection
           .exec(
               "SELECT FROM pg_catalog.pg_constraint WHERE conindid = "
               "$1::pg_catalog.regclass AND contype IN ('p', 'u', 'x')",
               {pg::quote_qualified(job.table->target.shadow.schema,
                                    job.index->name)})
           .empty();
  if (job.index->constraint && !is_constraint) {
    connection.exec(*job.index->constraint, {}, Deadline::never());
  }
  for (const std::string& statement : job.index->then) {
    connection.exec(statement, {}, Deadline::never());
  }
  transaction.commit();
}

void build_side_by_side(Context& context, std::vector<IndexJob> jobs) {
  std::mutex mutex;
  ThreadGroup workers(context.stop);
  const auto count = std::min<std::size_t>(
      jobs.size(), static_cast<std::size_t>(context.options.workers));
  for (std::size_t i = 0; i < count; ++i) {
    workers.run([&](const std::stop_token& stop) {
      pg::Connection connection = context.open("index", stop);
      for (;;) {
        IndexJob job{};
        {
          const std::lock_guard lock(mutex);
          if (jobs.empty()) return;
          job = jobs.back();
          jobs.pop_back();
        }
        build(context, connection, job);
      }
    });
  }
  workers.join();
  if (context.stop.stop_requested()) throw Stopped();
}

}  // namespace

void build_indexes(Context& context) {
  pg::Connection& connection = *context.control;
  for (const plan::MigratedTable& table : context.tables) {
    const IndexJob key{.table = &table, .index = &table.target.key_index};
    if (!is_built(connection, key)) build(context, connection, key);
    complete(context, connection, key);
  }
  // What no change in the stream tells of, after a leaf was emptied, say, would
  // be in the way of the other unique indexes.
  for (int pass = 0; pass < kPassesMax && changes_missed(context); ++pass) {
    if (verify_tables(context).differences == 0) break;
  }
  // The state is exact from here until the first round afterwards, so no
  // constraint that holds on the sources can fail.
  catch_up(context, true);
  std::vector<IndexJob> jobs;
  for (const plan::MigratedTable& table : context.tables) {
    for (const plan::ShadowIndex& index : table.target.indexes) {
      const IndexJob job{.table = &table, .index = &index};
      if (is_built(connection, job)) continue;
      // Not side by side: the server names the partitions' indexes by what is
      // there, and two at once may come to the same name.
      if (table.target.partitioned()) {
        build(context, connection, job);
      } else {
        jobs.push_back(job);
      }
    }
  }
  std::ranges::reverse(jobs);  // taken from the back
  build_side_by_side(context, std::move(jobs));
  for (const plan::MigratedTable& table : context.tables) {
    for (const plan::ShadowIndex& index : table.target.indexes) {
      complete(context, connection, {.table = &table, .index = &index});
    }
  }
  for (const plan::MigratedTable& table : context.tables) {
    context.write([&](pg::Connection& session) {
      for (const std::string& statement : plan::restored_index_names(
               session, table.source.oid, table.shadow_oid)) {
        session.exec(statement);
      }
    });
  }
  // The new table must not be slow on its first day: index-only scans need the
  // visibility map, and the planner statistics.
  for (const plan::MigratedTable& table : context.tables) {
    connection.exec("VACUUM (ANALYZE) " + table.target.shadow.quoted(), {},
                    Deadline::never());
  }
}

}  // namespace pgrecast::migration
