#pragma once

#include <string>

namespace pgrecast::exchange {

// Of one parameter, the table's OID; answers (fact, value). The exchange
// prepares it, since planning it takes longer than running it.
std::string inventory_query(int server_version);

}  // namespace pgrecast::exchange
