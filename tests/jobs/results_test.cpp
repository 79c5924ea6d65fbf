// Stored results that the disk has not kept: an error at their own job, and nowhere else.

#include "support/jobs_world.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

using namespace gateway;
using namespace gateway::test;
using core::job_state;

namespace {

net::task<> do_check(jobs::jobs& jobs, core::job_key key, std::optional<error_code>& out)
{
    out = co_await jobs.check_result(key);
}

struct results_world : jobs_world {
    core::job job;
    std::filesystem::path file;

    results_world()
    {
        job = submit();
        const auto l = lease();
        BOOST_TEST((complete(*l) == core::verdict::done));
        file = folder.path() / "spool" / view().result->file.name();
    }

    jobs::view view() const { return *jobs->find(job.key, job.secret); }
    error_code check(const core::job& of)
    {
        std::optional<error_code> out;
        run(do_check(*jobs, of.key, out));
        BOOST_REQUIRE(out.has_value());
        return *out;
    }
    void write(const std::string& bytes) { std::ofstream(file, std::ios::trunc) << bytes; }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(results_, results_world)

BOOST_AUTO_TEST_CASE(a_result_of_this_process_is_trusted_and_one_of_an_earlier_is_compared)
{
    BOOST_TEST(!check(job));
    BOOST_TEST(view().result != nullptr);
    restart();
    BOOST_TEST(!check(job));
    BOOST_TEST(view().result != nullptr);
}

BOOST_AUTO_TEST_CASE(a_torn_result_becomes_an_error_of_its_job_and_of_no_other)
{
    const auto other = submit();
    const auto l = lease();
    BOOST_TEST((complete(*l) == core::verdict::done));
    write(R"({"images":[}})"); // as long as it was
    restart();
    const auto before = view().version;

    BOOST_TEST(!check(job));
    BOOST_TEST(!check(other));

    BOOST_TEST(view().result == nullptr);
    BOOST_TEST(view().version > before);
    BOOST_TEST((state(job) == job_state::completed)); // final is final
    BOOST_REQUIRE(view().error != nullptr);
    BOOST_TEST(view().error->find("damaged or lost") != std::string::npos, *view().error);
    BOOST_TEST(jobs->numbers().results_lost == 1u);
    BOOST_TEST(jobs->find(other.key, other.secret)->result != nullptr);
}

BOOST_AUTO_TEST_CASE(a_result_that_cannot_be_read_just_now_is_not_given_up)
{
    restart();
    files.fail(fault_files::call::read, 1, EIO);
    BOOST_TEST(check(job) == boost::system::errc::io_error);
    BOOST_TEST(view().result != nullptr);
    BOOST_TEST(!check(job));
}

BOOST_AUTO_TEST_CASE(a_job_without_a_result_has_nothing_to_check)
{
    BOOST_TEST(!check(submit()));
    core::job nobody;
    nobody.key = 99;
    BOOST_TEST(!check(nobody));
}

BOOST_AUTO_TEST_SUITE_END()
