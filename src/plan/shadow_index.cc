#include "shadow_index.h"

namespace pgrecast::plan {

void build_index(pg::Connection& connection, const ShadowIndex& index) {
  if (!index.create.empty()) connection.exec(index.create);
  if (index.constraint) connection.exec(*index.constraint);
  for (const std::string& then : index.then) connection.exec(then);
}

}  // namespace pgrecast::plan
