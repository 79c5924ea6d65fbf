// The one place where Boost.Test's main lives; every test program links it.
#define BOOST_TEST_MODULE webui_gateway
#include <boost/test/unit_test.hpp>
