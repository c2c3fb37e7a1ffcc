// SPDX-License-Identifier: Apache-2.0
// Result<T> is a value or an Error. It cannot be ignored: the type itself is [[nodiscard]].
// The macros come in pairs, one for functions (return) and one for coroutines (co_return).
#pragma once

#include <expected>
#include <utility>

#include "engine/base/error.h"

namespace mica {

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  // NOLINTNEXTLINE(google-explicit-constructor): `return Error{…};` is the way to fail.
  Result(Error error) : std::expected<T, Error>(std::unexpect, std::move(error)) {}
};

}  // namespace mica

#define MICA_CONCAT_INNER_(a, b) a##b
#define MICA_CONCAT_(a, b) MICA_CONCAT_INNER_(a, b)

#define MICA_TRY_(keyword, expr)               \
  do {                                         \
    auto mica_result_ = expr;                  \
    if (!mica_result_) [[unlikely]]            \
      keyword std::move(mica_result_).error(); \
  } while (false)

#define MICA_ASSIGN_(result, keyword, declaration, expr) \
  auto result = expr;                                    \
  if (!result) [[unlikely]]                              \
    keyword std::move(result).error();                   \
  declaration = *std::move(result)

// TRY(Call());                 leaves the function with Call's error, if it has one
// ASSIGN(auto value, Call());  the same, otherwise binds the value
#define TRY(expr) MICA_TRY_(return, expr)
#define ASSIGN(declaration, expr) \
  MICA_ASSIGN_(MICA_CONCAT_(mica_result_, __LINE__), return, declaration, expr)

// The same for coroutines: CO_TRY(co_await Call()); CO_ASSIGN(auto value, co_await Call());
#define CO_TRY(expr) MICA_TRY_(co_return, expr)
#define CO_ASSIGN(declaration, expr) \
  MICA_ASSIGN_(MICA_CONCAT_(mica_result_, __LINE__), co_return, declaration, expr)
