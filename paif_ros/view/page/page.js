'use strict';
// Shows one stream, and asks once a second for the numbers. Everything is put in as text: what a
// node says of itself is not trusted to be HTML.

const $ = (id) => document.getElementById(id);
const PERIOD = 1000;
const STALE = 5;
const STAGES = ['pairing', 'waiting', 'decode', 'thermal', 'registration', 'inference', 'convert', 'publish', 'total'];
let chosen = '';

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function row(label, value, className) {
  const line = element('tr', undefined, className);
  line.append(element('th', label), element('td', value, 'number'));
  return line;
}

function choose(name) {
  chosen = name;
  $('picture').src = `stream/${encodeURIComponent(name)}`;
  for (const button of $('choices').children) {
    button.setAttribute('aria-selected', String(button.dataset.name === name));
  }
  history.replaceState(null, '', `#${name}`);
}

function offer(pictures) {
  if ($('choices').children.length) return;
  for (const picture of pictures) {
    const button = element('button', picture.title);
    button.type = 'button';
    button.role = 'tab';
    button.dataset.name = picture.name;
    button.addEventListener('click', () => choose(picture.name));
    $('choices').append(button);
  }
  const wanted = location.hash.slice(1);
  const known = pictures.some((picture) => picture.name === wanted);
  choose(known ? wanted : pictures[0].name);
}

function showPicture(pictures) {
  const picture = pictures.find((one) => one.name === chosen);
  const problem = picture ? picture.problem : '';
  $('problem').hidden = !problem;
  $('problem').textContent = problem;
  return picture;
}

function showRates(values, picture) {
  const hertz = (key) => (values[key] && values[key] !== 'nan' ? `${Number(values[key]).toFixed(1)} Hz` : '–');
  const rows = [
    row('results', hertz('results.rate_hz')),
    row('RGB in', hertz('visible.rate_hz')),
    row('thermal in', hertz('thermal.rate_hz')),
  ];
  if (picture && picture.topic) rows.push(row('to this page', `${picture.rate.toFixed(1)} Hz`));
  $('rates').replaceChildren(...rows);
}

function showLatency(values) {
  const spans = STAGES.map((stage) => ({
    stage,
    p50: Number(values[`latency.${stage}.p50_ms`]),
    p99: Number(values[`latency.${stage}.p99_ms`]),
  })).filter((span) => Number.isFinite(span.p99));
  if (!spans.length) {
    $('latency').replaceChildren(row('nothing measured yet', ''));
    return;
  }
  const most = Math.max(...spans.map((span) => span.p99), 0.001);
  const head = element('tr');
  head.append(element('th', ''), element('td', ''), element('td', 'p50', 'none'), element('td', 'p99', 'none'));
  $('latency').replaceChildren(head, ...spans.map((span) => {
    const line = element('tr', undefined, span.stage === 'total' ? 'total' : '');
    const cell = element('td', undefined, 'bar');
    const whole = element('i');
    const part = element('b');
    whole.style.width = `${(100 * span.p99) / most}%`;
    part.style.width = `${(100 * span.p50) / Math.max(span.p99, 0.001)}%`;
    whole.append(part);
    cell.append(whole);
    line.append(element('th', span.stage), cell, element('td', span.p50.toFixed(1)), element('td', span.p99.toFixed(1)));
    return line;
  }));
}

function showDrops(values) {
  const rows = [];
  for (const [key, value] of Object.entries(values)) {
    const parts = key.split('.dropped.');
    if (parts.length === 2 && Number(value) > 0) {
      const name = parts[0] === 'visible' ? 'RGB' : parts[0];
      rows.push(row(`${name}: ${parts[1].replaceAll('_', ' ')}`, value));
    }
  }
  $('drops').replaceChildren(...(rows.length ? rows : [row('nothing', '0')]));
}

function showFacts(status) {
  const values = status.values;
  const given = (key) => values[key] || '–';
  const range = values['thermal.agc.mode'] === 'none' || !values['thermal.agc.mode']
    ? '–' : `${values['thermal.agc.low']} to ${values['thermal.agc.high']} ${values['thermal.agc.unit']}`;
  const rows = [
    row('state', given('state')),
    row('pairs fused', `${given('pairs.fused')} of ${given('pairs.made')}`),
    row('skew p99', values['skew.p99_ms'] ? `${values['skew.p99_ms']} ms` : '–'),
    row('thermal range', range),
    row('engine', [values['engine.backend'], values['engine.provider'], values['engine.precision']].filter(Boolean).join(' ') || '–'),
    row('model', [values['model.network'], values['model.variant'], values['model.input_size']].filter(Boolean).join(' ') || '–'),
    row('memory', values.memory_mb ? `${values.memory_mb} MB` : '–'),
  ];
  if (values['engine.progress']) rows.push(row('loading', values['engine.progress']));
  if (status.others.length) rows.push(row('other nodes', status.others.join(', ')));
  $('facts').replaceChildren(...rows);
}

function showClasses(classes) {
  $('legend').replaceChildren(...classes.map((one) => {
    const item = element('li');
    const patch = element('span');
    patch.style.background = `rgb(${one.color.map(Number).join(',')})`;
    item.append(patch, one.name);
    return item;
  }));
}

function showLevel(level, message) {
  $('level').textContent = level;
  $('level').className = `level ${level}`;
  $('message').textContent = message;
}

async function look() {
  try {
    const answer = await fetch('status.json');
    const status = await answer.json();
    $('node').textContent = status.node;
    document.title = `${status.node} – paif_ros`;
    if (status.age === null) {
      const others = status.others.length
        ? `; there is ${status.others.join(', ')}: start paif-view with --node` : '';
      showLevel('WAITING', `no diagnostics of ${status.node} yet${others}`);
    } else if (status.age > STALE) {
      showLevel('STALE', `the node has been silent for ${status.age.toFixed(0)} s`);
    } else {
      showLevel(status.level, status.message);
    }
    offer(status.pictures);
    showRates(status.values, showPicture(status.pictures));
    showLatency(status.values);
    showDrops(status.values);
    showFacts(status);
    showClasses(status.classes);
  } catch {
    showLevel('OFFLINE', 'paif-view does not answer');
  }
  setTimeout(look, PERIOD);
}

// A stream ends when paif-view is started anew: it is asked for again.
$('picture').addEventListener('error', () => setTimeout(() => chosen && choose(chosen), 2 * PERIOD));
look();
