for (const part of document.querySelectorAll('.progress')) {
  const frames = part.querySelectorAll('.slides > figure');
  const slider = part.querySelector('input');
  const shown = part.querySelector('output');
  const show = () => {
    frames.forEach((frame, place) => { frame.hidden = place !== Number(slider.value); });
    const step = frames[slider.value].dataset.step;
    shown.textContent = 'step ' + Number(step).toLocaleString('en');
    slider.setAttribute('aria-valuetext', shown.textContent);
  };
  part.classList.add('moving');
  part.querySelector('.slider').hidden = false;
  slider.addEventListener('input', show);
  show();
}
