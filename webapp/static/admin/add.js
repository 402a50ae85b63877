// What the add page does beyond HTML: a video of the bucket's list fills the form, and files go straight to S3 by a
// permission that our server gives for each, one file after the other. Sentences come from the page, translated.
"use strict";
{
  const form = document.getElementById("uploader");
  const list = document.getElementById("uploads");
  const stop = document.getElementById("stop-upload");
  const say = form ? form.dataset : {};
  let running = null;
  let stopped = false;

  function fill(key, bucket) {
    document.getElementById("bucket").value = bucket;
    const field = document.getElementById("key");
    field.value = key;
    field.focus();
  }

  function row(file) {
    const item = document.createElement("li");
    const box = item.appendChild(document.createElement("div"));
    const name = box.appendChild(document.createElement("span"));
    const state = box.appendChild(document.createElement("span"));
    const bar = box.appendChild(document.createElement("progress"));
    box.className = "grow";
    name.className = "key";
    state.className = "sub";
    name.textContent = file.name;
    state.textContent = say.waits;
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    list.append(item);
    return { item, state, bar };
  }

  function fail(place, sentence) {
    place.item.className = "failed";
    place.bar.hidden = true;
    place.state.textContent = sentence;
    place.state.setAttribute("role", "alert");
  }

  // Why a file needs not even be asked for; empty where nothing is wrong.
  function unfit(file) {
    const ending = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
    if (!file.name.includes(".") || !say.suffixes.split(" ").includes(ending)) return say.noVideo;
    if (file.size === 0) return say.empty;
    return file.size > Number(say.most) ? say.tooLarge : "";
  }

  async function permission(file) {
    const asked = new FormData(form);
    const body = new URLSearchParams({
      token: asked.get("token"), bucket: asked.get("bucket"), prefix: asked.get("prefix"), name: file.name, size: file.size,
    });
    try {
      const answer = await fetch(form.action, { method: "POST", body });
      const told = answer.headers.get("Content-Type").startsWith("application/json") && (await answer.json());
      // A page in the place of JSON: the session or the form's token has ended.
      return told || { wrong: answer.ok || answer.status === 403 ? say.formExpired : say.unasked };
    } catch {
      return { wrong: say.unasked };
    }
  }

  function reason(request) {
    const word = (name) => (request.responseText.match(`<${name}>([^<]*)</${name}>`) || ["", ""])[1];
    if (word("Code") === "EntityTooLarge") return say.tooLarge;
    if (request.status === 403) return say.expired;
    return `${say.refused} ${word("Message") || request.status}`;
  }

  // Sends the file; a sentence when that failed, else nothing.
  function send(file, told, place) {
    return new Promise((done) => {
      const request = new XMLHttpRequest();
      const body = new FormData();
      for (const [name, value] of Object.entries(told.fields)) body.append(name, value);
      // S3 reads no field that comes after the file.
      body.append("file", file);
      request.upload.onprogress = (event) => {
        if (event.lengthComputable) place.bar.value = event.loaded / event.total;
        place.state.textContent = `${say.sending} ${Math.floor(place.bar.value * 100)} %`;
      };
      request.onload = () => done(request.status < 300 ? "" : reason(request));
      request.onerror = () => done(say.cut);
      request.onabort = () => done(say.stopped);
      request.open("POST", told.address);
      request.send(body);
      running = request;
    });
  }

  function follow(told, place) {
    const watch = document.createElement("div");
    watch.setAttribute("hx-get", told.follow);
    watch.setAttribute("hx-trigger", "load");
    watch.setAttribute("hx-swap", "outerHTML");
    place.bar.remove();
    place.state.setAttribute("role", "status");
    place.state.textContent = told.key;
    place.item.append(watch);
    htmx.process(watch);
  }

  async function upload(file, place) {
    const told = stopped ? { wrong: say.stopped } : await permission(file);
    const wrong = told.wrong || (stopped ? say.stopped : await send(file, told, place));
    if (wrong) fail(place, wrong);
    else follow(told, place);
  }

  async function uploadAll(files) {
    const places = files.map((file) => [file, row(file)]);
    form.querySelector("button.main").disabled = true;
    stop.hidden = stopped = false;
    for (const [file, place] of places) {
      const wrong = unfit(file);
      if (wrong) fail(place, wrong);
      else await upload(file, place);
    }
    running = null;
    stop.hidden = true;
    form.querySelector("button.main").disabled = false;
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-fill]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      fill(link.dataset.fill, link.closest("#browse").dataset.bucket);
    }
  });
  if (form) {
    form.hidden = false;
    document.getElementById("unscripted").hidden = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const field = document.getElementById("files");
      uploadAll([...field.files]);
      field.value = "";
    });
    stop.addEventListener("click", () => {
      stopped = true;
      if (running) running.abort();
    });
    window.addEventListener("beforeunload", (event) => running && event.preventDefault());
  }
}
