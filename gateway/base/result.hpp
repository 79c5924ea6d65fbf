#pragma once

// What may happen is returned, not thrown: result<T> for a value or an error_code, failure for a
// value or a reason that a person reads.

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

#include <string>

namespace gateway {

using boost::system::error_code;
template <class T = void> using result = boost::system::result<T>;

} // namespace gateway
