#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::pg {

class Connection;

// The elements of a text[] as the server prints it, in their order: the server
// itself takes it apart, in one query. No element is NULL. array_literal()
// (quote.h) is the way back.
std::vector<std::string> array_elements(Connection& connection,
                                        std::string_view array);

}  // namespace pgrecast::pg
