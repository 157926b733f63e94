// Lets the site's search work where its folder is opened as files: browsers start no worker from a file, so the worker's
// script runs in a hidden frame of the page instead. The theme's search script looks for `IFrameWorker` in the page, and
// then waits for `importScripts`.
if (location.protocol === "file:") {
  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      const script = document.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      frame.srcdoc = `<!doctype html><script>(${inFrame})()<\/script>${script.outerHTML}`;
      this.loaded = new Promise((done) => frame.addEventListener("load", () => done(frame.contentWindow)));
      window.addEventListener("message", (event) => {
        if (event.source === frame.contentWindow && event.data && "fromWorker" in event.data) {
          event.stopImmediatePropagation();
          this.dispatchEvent(new MessageEvent("message", { data: event.data.fromWorker }));
        }
      }, true);
      const show = () => document.body.append(frame);
      if (document.body) show(); else document.addEventListener("DOMContentLoaded", show);
    }

    postMessage(data) {
      this.loaded.then((frame) => frame.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {}
  }

  // What a worker has and a frame has not
  function inFrame() {
    window.postMessage = (data) => parent.postMessage({ fromWorker: data }, "*");
    window.importScripts = async (...urls) => {
      for (const url of urls) {
        await new Promise((done, failed) => {
          const script = document.createElement("script");
          script.src = url;
          script.onload = done;
          script.onerror = () => failed(new Error(`${url} was not loaded`));
          document.head.append(script);
        });
      }
    };
  }

  window.IFrameWorker = FrameWorker;
  window.Worker = FrameWorker;
}
