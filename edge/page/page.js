"use strict";
// Asks the node for its state once a second; what it says is put on the page as text only.
const STATES = {
  preoperational: ["等待 PLC", "idle"], initialized: ["未就绪", "idle"], ready: ["就绪", "good"],
  running: ["运行", "good"], error: ["故障", "bad"], stopped: ["停止", "idle"],
};
const MODES = { auto: "自动", monitor: "观察（只看不剔）", bypass: "旁路", sample: "标准件" };
const VERDICTS = { 1: "合格", 2: "不合格", 3: "未判定·已剔除" };
const REASONS = {
  no_frame: "没有拍到图像", bad_image: "图像不可用", pairing: "图像与编号对不上",
  view_missing: "缺少视角", model_fault: "模型不可用", uncertain: "需要人工复判",
  late: "判定超时", not_delivered: "PLC 未收到", unconfirmed: "重启期间未确认",
};
const ALERTS = {
  consecutive_ng: "连续不合格", undecided_share: "未判定偏多", camera_lost: "相机断开",
  plc_lost: "PLC 通信中断", map_wrong: "PLC 寄存器不符", ledger_fault: "台账无法写入",
  recipe_unknown: "配方不存在", pairing_lost: "图像与编号对不上", parts_missed: "有工件未检",
  bypass: "旁路中：工件未经检测", unsigned: "未签发模型在运行", stop_request: "请求停线",
  ledger_restored: "台账磁盘被还原或复制",
};
const FAULTS = {
  starting: "正在启动", camera: "相机没有图像", ledger: "台账写不进磁盘", detector: "检测器没有反应",
  overdue: "有工件超时未判", plc: "PLC 或导线没有回答", recipe: "配方不能用", setup: "正在设置相机",
  change_over: "正在换型，先判完路上的工件",
};
const BAD_IMAGE = {
  frozen: "画面冻结", repeated: "画面重复", dark: "过暗", saturated: "过曝", defocused: "失焦",
  moved: "位置偏移", "no reference": "没有参考图", "other size": "尺寸与参考图不同",
  "empty or no 8-bit picture": "空图或格式不对",
  "taken under another recipe's setup": "按别的配方拍的",
};
const byId = (id) => document.getElementById(id);

function section(name) {
  let node = document.querySelector(`[data-name="${CSS.escape(name)}"]`);
  if (!node) {
    node = byId("station").content.firstElementChild.cloneNode(true);
    node.dataset.name = name;
    byId("stations").append(node);
  }
  return node;
}

function show(station) {
  const node = section(station.name);
  const put = (selector, text) => { node.querySelector(selector).textContent = text; };
  const [word, look] = STATES[station.state] || [station.state, "bad"];
  put(".name", station.name);
  put(".state", word);
  node.querySelector(".state").className = `state ${look}`;
  put(".mode", MODES[station.mode] || station.mode);
  const fault = FAULTS[station.fault.word];
  put(".fault", !fault ? "" : station.fault.about ? `${fault}（${station.fault.about}）` : fault);
  node.querySelector(".own-count").hidden = station.counted_by !== "self";
  for (const [kind, count] of Object.entries(station.counts)) put(`.${kind} dd`, count);
  const last = station.last_not_ok;
  const image = node.querySelector("img");
  image.hidden = !(last && last.has_picture);
  if (last) {
    const sample = last.mode === "sample" ? "标准件，" : "";
    const why = last.defect || REASONS[last.reason] || "";
    const seen = last.faults.map((said) => BAD_IMAGE[said.split(":")[0]]).filter(Boolean);
    const more = last.defect || !seen.length ? "" : `（${seen.join("，")}）`;
    put("figcaption", `${sample}第 ${last.number} 件：${VERDICTS[last.code]} ${why}${more}`);
    const url = `/last/${encodeURIComponent(station.name)}.jpg?part=${last.epoch}-${last.number}`;
    if (last.has_picture && !image.src.endsWith(url)) image.src = url;
  }
  const alerts = station.alerts.map((alert) => {
    const item = document.createElement("li");
    item.textContent = `${ALERTS[alert.code] || alert.code} ×${alert.count}`;
    return item;
  });
  node.querySelector(".alerts").replaceChildren(...alerts);
}

async function ask() {
  try {
    const answer = await fetch("/state.json", { cache: "no-store" });
    const state = await answer.json();
    byId("node").textContent = state.node;
    byId("link").textContent = state.hub === "online"
      ? `已连接数据中心，待上传 ${state.waiting} 行`
      : `数据中心未连接，${state.waiting} 行已保存在本机`;
    byId("unsigned").hidden = !state.unsigned;
    const bypassed = state.stations.some((station) => station.mode === "bypass");
    byId("bypass").hidden = !bypassed;
    document.body.classList.toggle("bypass", bypassed);
    byId("away").hidden = true;
    state.stations.forEach(show);
  } catch {
    byId("away").hidden = false;
  }
}

ask();
setInterval(ask, 1000);
