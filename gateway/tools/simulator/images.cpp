// The endpoints around pictures that do not generate any: png-info, extras, interrogate
// (webui.md §2.5).

#include "tools/simulator/webui.hpp"

#include "tools/simulator/infotext.hpp"
#include "tools/simulator/job.hpp"

namespace gateway::tools::simulator {

net::task<answer> webui::png_info(net::request& req)
{
    const auto fields = co_await read_fields(png_info_model(), req);
    const auto thread = co_await threads_.enter();
    const std::string given(fields.at("image").get_string());
    if (given.empty())
        co_return answer::json({{"info", ""}, {"items", nullptr}, {"parameters", nullptr}});
    const auto text = read_png_text(decoded_image(given)).value_or("");
    const auto parameters = text.empty() ? json::object{} : read_infotext(text);
    co_return answer::json(
        {{"info", text}, {"items", {{"parameters", text}}}, {"parameters", parameters}});
}

// Runs under the lock as a job "extras"; one that fails leaves that name behind (webui.md §3.3).
net::task<> webui::upscale(json::object fields)
{
    const auto lock = co_await queue_lock_.enter();
    state_.begin("extras", around_.time.now(), job_timestamp(around_.time.wall()));
    for (const auto* key : {"upscaler_1", "upscaler_2"}) {
        const auto name = fields.at(key).get_string();
        const std::string_view shown(name.data(), name.size());
        if (shown != "None" && !is_upscaler(shown))
            throw python_error("AssertionError",
                               "could not find upscaler named " + std::string(shown));
    }
    co_await pause_seconds(set_.base_ms / 1000);
    state_.end();
}

net::task<answer> webui::extra_single(net::request& req)
{
    const auto fields = co_await read_fields(extra_single_model(), req);
    const auto thread = co_await threads_.enter();
    const std::string given(fields.at("image").get_string());
    const auto image = decoded_image(given);
    co_await upscale(fields);
    co_return answer::json({{"html_info", ""}, {"image", to_base64(image)}});
}

net::task<answer> webui::extra_batch(net::request& req)
{
    const auto fields = co_await read_fields(extra_batch_model(), req);
    const auto thread = co_await threads_.enter();
    json::array images;
    for (const auto& item : fields.at("imageList").get_array()) {
        const auto* object = item.if_object();
        const auto* data = object != nullptr ? object->if_contains("data") : nullptr;
        const auto* text = data != nullptr ? data->if_string() : nullptr;
        if (text == nullptr)
            throw http_exception(500, "Invalid encoded image");
        images.emplace_back(to_base64(decoded_image(*text)));
    }
    co_await upscale(fields);
    co_return answer::json({{"html_info", ""}, {"images", std::move(images)}});
}

net::task<answer> webui::interrogate(net::request& req)
{
    const auto fields = co_await read_fields(interrogate_model(), req);
    const auto thread = co_await threads_.enter();
    const std::string given(fields.at("image").get_string());
    if (given.empty())
        throw http_exception(404, "Image not found");
    const auto image = decoded_image(given);
    const auto lock = co_await queue_lock_.enter();
    const std::string model(fields.at("model").get_string());
    if (model != "clip" && model != "deepdanbooru")
        throw http_exception(404, "Model not found");
    co_await pause_seconds(set_.base_ms / 1000);
    const auto text = read_png_text(image).value_or("");
    const auto prompt = text.substr(0, text.find('\n'));
    co_return answer::json({{"caption", prompt.empty() ? "a landscape at dusk" : prompt}});
}

} // namespace gateway::tools::simulator
